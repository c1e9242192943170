import { FreeholdError, slugSchema, subjectSchema, tenantReferenceSchema } from '@freehold/contract'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { type Claims, tokenVerifier } from '../identity/verified-token.ts'
import { handleError } from '../problem-reply.ts'
import { refuse } from '../resolution/tenant-resolver.ts'
import type { MemberOf, MembershipDirectory } from './membership-directory.ts'
import { TokenIssuer } from './token-issuer.ts'

const DEFAULT_TTL_SECONDS = 900

export interface MembershipsOptions {
  /** The catalog's `createTenantDirectory()`; whoever opened it closes it. */
  readonly directory: MembershipDirectory
  /** The claim of new tokens that holds the tenant's id; `tenant` unless set. The role is in the claim `role`. */
  readonly claim?: string
  /** How long new tokens are good at most; 900 unless set. */
  readonly ttlSeconds?: number
  /** The namespace of `@fastify/jwt` with which people have signed in, if it was registered with one. */
  readonly signedInWith?: string
  /** The namespace of `@fastify/jwt` that signs the new tokens, if it was registered with one. */
  readonly signWith?: string
}

const querySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: slugSchema.optional(),
})
const paramsSchema = z.object({ tenant: tenantReferenceSchema })

/**
 * Routes for a person who is in several tenants: `GET /tenants` lists them, `POST /tenants/:tenant/token` (by id or
 * slug) gives a token for one of them. Who signed in is the claim `sub` of the request's token. A tenant in which
 * they may not act and one that does not exist are answered the same.
 *
 * @throws FreeholdError `config_invalid`
 * @example
 * ```ts
 * await app.register(fastifyJwt, { ...identityProvider({ issuer, audience }), namespace: 'login' })
 * await app.register(fastifyJwt, { secret, verify: { algorithms: ['HS256'], requiredClaims: ['exp'] } })
 * await app.register(freehold, { router })
 * await app.register(memberships, { directory, signedInWith: 'login', prefix: '/me' })
 * ```
 */
export async function memberships(app: FastifyInstance, options: MembershipsOptions): Promise<void> {
  const { directory, claim = 'tenant', ttlSeconds = DEFAULT_TTL_SECONDS, signedInWith, signWith } = options
  const verifier = tokenVerifier(signedInWith)
  verifier.prepare(app)
  const issuer = new TokenIssuer(app, signWith, claim, ttlSeconds)
  const route = { config: { tenant: false }, errorHandler: handleError } as const

  app.get('/tenants', route, async (request, reply) => {
    const { subject } = await signedIn(request)
    const query = querySchema.safeParse(request.query)
    if (!query.success) throw invalidQuery(query.error)
    const { limit, cursor = null } = query.data
    const found = await directory.membershipsOf(subject, { after: cursor, limit: limit + 1 })
    const items = found.slice(0, limit)
    return privately(reply).send({
      items: items.map(describe),
      nextCursor: found.length > limit ? (items.at(-1)?.slug ?? null) : null,
    })
  })

  app.post('/tenants/:tenant/token', route, async (request, reply) => {
    const { subject, claims } = await signedIn(request)
    const params = paramsSchema.safeParse(request.params)
    const member = params.success ? await directory.membershipIn(params.data.tenant, subject) : null
    if (!member) throw refuse(request, [], 'no member')
    if (member.status === 'suspended') throw new FreeholdError('tenant_suspended')
    return privately(reply).send({ ...issuer.issue(member, claims), tenant: describe(member) })
  })

  async function signedIn(request: FastifyRequest): Promise<{ subject: string; claims: Claims }> {
    const claims = await verifier.claims(request)
    const subject = subjectSchema.safeParse(claims.sub)
    if (!subject.success) throw refuse(request, [], 'no subject in the token')
    return { subject: subject.data, claims }
  }
}

/** As clients see it. */
function describe({ tenantId, slug, name, role, status }: MemberOf) {
  return { id: tenantId, slug, name, role, status }
}

/** What is one person's is nobody else's, and a token is kept by no cache. */
function privately(reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', 'no-store')
}

function invalidQuery(error: z.ZodError): FreeholdError {
  const issues = error.issues.map(({ path, message }) => ({
    path: ['querystring', ...path].join('/'),
    message,
  }))
  return new FreeholdError('invalid_request', undefined, { issues })
}
