import type { Catalog } from '@freehold/catalog'
import {
  clusterIdSchema,
  type DrainCluster,
  drainClusterSchema,
  drainPlanSchema,
  evacuationSchema,
  limitClusterSchema,
  topologySchema,
} from '@freehold/contract'
import { planDrain } from '@freehold/engine'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { requireOperator } from '../authentication.ts'
import { problemResponse } from '../openapi.ts'

export interface ClusterRoutesOptions {
  readonly catalog: Catalog
  readonly entrySecret: string
}

const params = z.object({ cluster: clusterIdSchema })

/** How clusters are operated. */
export const clusterRoutes: FastifyPluginAsyncZod<ClusterRoutesOptions> = async (
  app,
  { catalog, entrySecret },
) => {
  const tags = ['topology']

  async function wanted(cluster: z.output<typeof clusterIdSchema>, { to, maxConcurrent }: DrainCluster) {
    const { region } = await catalog.topology.known(cluster)
    return { cluster, target: to ?? { region }, maxConcurrent }
  }

  app.post(
    '/clusters/:cluster/drain',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'Empty a cluster of its tenants, or go on with that; with `dryRun` say what it would do',
        params,
        body: drainClusterSchema,
        response: { 200: drainPlanSchema, 202: evacuationSchema, default: problemResponse },
      },
    },
    async (request, reply) => {
      const drain = await wanted(request.params.cluster, request.body)
      const { dryRun, after } = request.body
      if (dryRun) return reply.code(200).send(await planDrain(catalog, { ...drain, after, entrySecret }))
      const { evacuation } = await catalog.evacuations.begin({ ...drain, createdBy: request.user.sub })
      return reply.code(202).send(evacuation)
    },
  )

  app.get(
    '/clusters/:cluster/evacuation',
    {
      schema: {
        tags,
        summary: 'How far the newest evacuation of a cluster is',
        params,
        response: { 200: evacuationSchema, default: problemResponse },
      },
    },
    async (request) => {
      const { id } = await catalog.topology.known(request.params.cluster)
      return catalog.evacuations.get(id)
    },
  )

  app.post(
    '/clusters/:cluster/undrain',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'Let a cluster take tenants and moves again, and end its evacuation',
        params,
        response: { 200: topologySchema, default: problemResponse },
      },
    },
    async (request) => {
      await catalog.evacuations.undrain(request.params.cluster)
      return catalog.topology.read()
    },
  )

  app.patch(
    '/clusters/:cluster',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'Set how many moves from and to a cluster may be under way at the same time',
        params,
        body: limitClusterSchema,
        response: { 200: topologySchema, default: problemResponse },
      },
    },
    async (request) => {
      await catalog.topology.limitMoves(request.params.cluster, request.body.maxMoves)
      return catalog.topology.read()
    },
  )
}
