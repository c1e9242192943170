import type { Catalog } from '@freehold/catalog'
import { operatorSchema, topologySchema } from '@freehold/contract'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { problemResponse } from '../openapi.ts'

/** Who asks, and what there is. */
export const topologyRoutes: FastifyPluginAsyncZod<{ readonly catalog: Catalog }> = async (
  app,
  { catalog },
) => {
  app.get(
    '/me',
    {
      schema: {
        tags: ['service'],
        summary: 'Whose token this is',
        response: { 200: operatorSchema, default: problemResponse },
      },
    },
    async (request) => request.user,
  )

  app.get(
    '/topology',
    {
      schema: {
        tags: ['topology'],
        summary: 'Regions, clusters and tiers',
        response: { 200: topologySchema, default: problemResponse },
      },
    },
    () => catalog.topology.read(),
  )
}
