import type { Catalog } from '@freehold/catalog'
import {
  addHostSchema,
  pageQuerySchema,
  tenantHostPageSchema,
  tenantHostSchema,
  tenantReferenceSchema,
} from '@freehold/contract'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { requireOperator } from '../authentication.ts'
import { idempotencyHeaders, idempotentRequest } from '../idempotency.ts'
import { problemResponse } from '../openapi.ts'

const ofTenant = z.object({ tenant: tenantReferenceSchema })
const ofHost = ofTenant.extend({ host: z.uuid().describe('Id of the host') })

/** Custom domains: under which hosts a product serves a tenant. */
export const hostRoutes: FastifyPluginAsyncZod<{ readonly catalog: Catalog }> = async (app, { catalog }) => {
  const tags = ['directory']

  app.get(
    '/tenants/:tenant/hosts',
    {
      schema: {
        tags,
        summary: 'The hosts that lead to a tenant, by name, a page at a time',
        params: ofTenant,
        querystring: pageQuerySchema,
        response: { 200: tenantHostPageSchema, default: problemResponse },
      },
    },
    (request) => catalog.hosts.list(request.params.tenant, request.query),
  )

  app.post(
    '/tenants/:tenant/hosts',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'Let a host lead to a tenant',
        params: ofTenant,
        headers: idempotencyHeaders,
        body: addHostSchema,
        response: { 200: tenantHostSchema, 201: tenantHostSchema, default: problemResponse },
      },
    },
    async (request, reply) => {
      const { tenant } = request.params
      const { host, created } = await catalog.hosts.add(tenant, request.body, idempotentRequest(request))
      return reply.code(created ? 201 : 200).send(host)
    },
  )

  app.delete(
    '/tenants/:tenant/hosts/:host',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'Let a host no longer lead to a tenant',
        params: ofHost,
        response: { 204: z.null(), default: problemResponse },
      },
    },
    async (request, reply) => {
      await catalog.hosts.remove(request.params.tenant, request.params.host)
      return reply.code(204).send(null)
    },
  )
}
