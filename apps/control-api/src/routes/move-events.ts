import { Readable } from 'node:stream'
import type { Catalog } from '@freehold/catalog'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { followMove } from '../follow-move.ts'
import { problemResponse } from '../openapi.ts'
import { asServerSentEvents } from '../server-sent-events.ts'
import { moveParams } from './moves.ts'

export interface MoveEventRoutesOptions {
  readonly catalog: Catalog
  /** Ends every stream. */
  readonly stopping: AbortSignal
}

/** What the catalog numbers timeline entries by. */
const MAX_SEQUENCE = 2_147_483_647

const eventHeaders = z.object({
  'last-event-id': z.coerce
    .number()
    .int()
    .min(0)
    .max(MAX_SEQUENCE)
    .optional()
    .describe('Number of the last timeline entry that the client has; it is sent those that follow'),
})

const description = `Server-Sent Events: \`move\` (a Move, now and whenever it changes), \`timeline\` (a MoveEvent; its id
is the number of the entry) and \`end\`, after which the stream is closed. Comments keep an idle connection open.`

export const moveEventRoutes: FastifyPluginAsyncZod<MoveEventRoutesOptions> = async (
  app,
  { catalog, stopping },
) => {
  app.get(
    '/moves/:id/events',
    {
      schema: {
        tags: ['moves'],
        summary: 'Follow a move live',
        description,
        params: moveParams,
        headers: eventHeaders,
        response: {
          200: { description, content: { 'text/event-stream': { schema: z.custom<Readable>() } } },
          default: problemResponse,
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      await catalog.moves.get(id)
      const left = new AbortController()
      reply.raw.once('close', () => left.abort())
      const news = followMove({
        catalog,
        id,
        afterSequence: request.headers['last-event-id'] ?? 0,
        signal: AbortSignal.any([left.signal, stopping]),
      })
      return reply
        .type('text/event-stream; charset=utf-8')
        .headers({ 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
        .send(Readable.from(asServerSentEvents(news)))
    },
  )
}
