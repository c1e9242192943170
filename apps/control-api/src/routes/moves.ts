import type { Catalog } from '@freehold/catalog'
import {
  moveDetailSchema,
  movePageSchema,
  movePlanSchema,
  moveQuerySchema,
  moveSchema,
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
      const { tenant: tenantIdOrSlug, changeStream, ...target } = request.query
      return (await planMove(catalog, { tenantIdOrSlug, target, changeStream, entrySecret })).plan
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
      const { tenant: tenantIdOrSlug, target, changeStream, ...terms } = request.body
      const idempotent = idempotentRequest(request)
      const made = idempotent && (await catalog.findMade(idempotent))
      if (made !== undefined)
        return reply.code(202).send(await catalog.moves.get(operationIdSchema.parse(made)))

      const prepared = await planMove(catalog, { tenantIdOrSlug, target, changeStream, entrySecret })
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
}
