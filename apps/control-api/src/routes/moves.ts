import {
  type Catalog,
  type Operation,
  requireFinalizable,
  requireRollbackPossible,
  toMove,
} from '@freehold/catalog'
import {
  endWindowSchema,
  moveDetailSchema,
  movePageSchema,
  movePlanSchema,
  moveQuerySchema,
  moveSchema,
  type OperationId,
  operationIdSchema,
  planMoveSchema,
  startMoveSchema,
} from '@freehold/contract'
import { type OperationQueue, planMove, startMove } from '@freehold/engine'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { requireOperator } from '../authentication.ts'
import { idempotencyHeaders, idempotentRequest } from '../idempotency.ts'
import { problemResponse } from '../openapi.ts'

export interface MoveRoutesOptions {
  readonly catalog: Catalog
  readonly queue: OperationQueue
  readonly entrySecret: string
  /** For moves that are started without saying. */
  readonly rollbackWindowSeconds: number
}

export const moveParams = z.object({ id: operationIdSchema })

export const moveRoutes: FastifyPluginAsyncZod<MoveRoutesOptions> = async (app, options) => {
  const { catalog, queue, entrySecret } = options
  const tags = ['moves']

  app.get(
    '/moves',
    {
      schema: {
        tags,
        summary: 'Moves, newest first, a page at a time',
        querystring: moveQuerySchema,
        response: { 200: movePageSchema, default: problemResponse },
      },
    },
    (request) => catalog.moves.list(request.query),
  )

  app.get(
    '/moves/plan',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'What a move would do, and what stands in its way; changes nothing',
        querystring: planMoveSchema,
        response: { 200: movePlanSchema, default: problemResponse },
      },
    },
    async (request) => {
      const {
        tenant: tenantIdOrSlug,
        changeStream,
        rollbackWindowSeconds = options.rollbackWindowSeconds,
        repair,
        ...target
      } = request.query
      const asked = { tenantIdOrSlug, target, changeStream, rollbackWindowSeconds, repair, entrySecret }
      return (await planMove(catalog, asked)).plan
    },
  )

  app.post(
    '/moves',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'Start a move; what `/v1/moves/plan` finds to block it refuses it',
        headers: idempotencyHeaders,
        body: startMoveSchema,
        response: { 202: moveSchema, default: problemResponse },
      },
    },
    async (request, reply) => {
      const { tenant: tenantIdOrSlug, target, changeStream, ...given } = request.body
      const { rollbackWindowSeconds = options.rollbackWindowSeconds, ...terms } = given
      const idempotent = idempotentRequest(request)
      const made = idempotent && (await catalog.findMade(idempotent))
      if (made !== undefined)
        return reply.code(202).send(await catalog.moves.get(operationIdSchema.parse(made)))

      const prepared = await planMove(catalog, {
        tenantIdOrSlug,
        target,
        changeStream,
        rollbackWindowSeconds,
        repair: terms.repair,
        entrySecret,
      })
      const move = await startMove(catalog, prepared, {
        createdBy: request.user.sub,
        terms,
        ...(idempotent && { request: idempotent }),
      })
      void queue.nudge(move.id)
      return reply.code(202).send(move)
    },
  )

  app.get(
    '/moves/:id',
    {
      schema: {
        tags,
        summary: 'A move with its timeline',
        params: moveParams,
        response: { 200: moveDetailSchema, default: problemResponse },
      },
    },
    (request) => catalog.moves.detail(request.params.id),
  )

  endOfWindow({
    verb: 'rollback',
    summary:
      'Ask for a move to be rolled back; the tenant goes back to its old home with all that was written since',
    requirePossible: requireRollbackPossible,
    request: (id) => catalog.operations.requestRollback(id),
  })
  endOfWindow({
    verb: 'finalize',
    summary: "End a move's rollback window now; the tenant's rows at the old home are removed",
    requirePossible: requireFinalizable,
    request: (id) => catalog.operations.requestFinalize(id),
  })

  /** One of the two ways in which somebody ends a rollback window. */
  function endOfWindow(way: {
    readonly verb: 'rollback' | 'finalize'
    readonly summary: string
    readonly requirePossible: (operation: Operation) => void
    readonly request: (id: OperationId) => Promise<Operation>
  }): void {
    app.post(
      `/moves/:id/${way.verb}`,
      {
        onRequest: requireOperator,
        schema: {
          tags,
          summary: way.summary,
          params: moveParams,
          body: endWindowSchema.nullish(),
          response: { 200: moveSchema, 202: moveSchema, default: problemResponse },
        },
      },
      async (request, reply) => {
        const { id } = request.params
        if (request.body?.dryRun === true) {
          const operation = await catalog.operations.get(id)
          way.requirePossible(operation)
          return reply.code(200).send(toMove(operation))
        }
        const operation = await way.request(id)
        void queue.nudge(id)
        return reply.code(202).send(toMove(operation))
      },
    )
  }
}
