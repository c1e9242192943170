import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * The console and the API documentation load everything from this origin and run no inline script. Inline styles
 * are allowed because component libraries set them; nothing that they contain comes from outside.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
}

/** Sets the headers with which a browser limits what a page of this service may do, and the id of the request. */
export function setSecurityHeaders(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply.headers(HEADERS).header('x-request-id', request.id)
}
