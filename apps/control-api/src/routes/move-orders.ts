import { type Catalog, type Operation, toMove } from '@freehold/catalog'
import { moveSchema, type OperationId } from '@freehold/contract'
import type { OperationQueue } from '@freehold/engine'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { requireOperator } from '../authentication.ts'
import { problemResponse } from '../openapi.ts'
import { moveParams } from './moves.ts'

export interface MoveOrderRoutesOptions {
  readonly catalog: Catalog
  readonly queue: OperationQueue
}

/** What may be asked of a move that has been started. Asking twice is asking once. */
export const moveOrderRoutes: FastifyPluginAsyncZod<MoveOrderRoutesOptions> = async (app, options) => {
  const { queue } = options
  const { operations } = options.catalog

  function order(
    name: string,
    summary: string,
    carryOut: (id: OperationId, by: string) => Promise<Operation>,
  ): void {
    app.post(
      `/moves/:id/${name}`,
      {
        onRequest: requireOperator,
        schema: {
          tags: ['moves'],
          summary,
          params: moveParams,
          response: { 202: moveSchema, default: problemResponse },
        },
      },
      async (request, reply) => {
        const operation = await carryOut(request.params.id, request.user.sub)
        void queue.nudge(operation.id)
        return reply.code(202).send(toMove(operation))
      },
    )
  }

  order('cancel', 'Ask for a move to be given up; the tenant stays where it was', operations.requestCancel)
  order(
    'pause',
    'Have a move go no further; its change stream and what was copied stay',
    operations.requestPause,
  )
  order('resume', 'Let a paused move go on', operations.resume)
  order('approve', 'Let the switch begin of a move that waits for its approval', operations.approve)
}
