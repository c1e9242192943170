import type { FastifyRequest } from 'fastify'
import { type DestinationStream, type Logger, pino } from 'pino'

/** The log of the control API: a JSON object a line, on stdout unless told otherwise. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = { name: 'freehold-control-api', level, serializers: { req: describeRequest } }
  // Written at once: what waits to be written when nobody reads it any more, pino would try for ever, and never end.
  return pino(options, destination ?? pino.destination({ sync: true }))
}

/** The path only: a token that somebody puts into a query must not end in the log. */
function describeRequest({ method, url, host, ip }: FastifyRequest) {
  return { method, path: url.split('?', 1)[0], host, remoteAddress: ip }
}
