import type { Catalog } from '@freehold/catalog'
import {
  apiKeyPageSchema,
  apiKeySchema,
  createApiKeySchema,
  createdApiKeySchema,
  pageQuerySchema,
  tenantReferenceSchema,
} from '@freehold/contract'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { requireOperator } from '../authentication.ts'
import { idempotencyHeaders, idempotentRequest } from '../idempotency.ts'
import { problemResponse } from '../openapi.ts'

const ofTenant = z.object({ tenant: tenantReferenceSchema })
const ofApiKey = ofTenant.extend({ apiKey: z.uuid() })

/** Keys with which programs act as a tenant of a product. */
export const apiKeyRoutes: FastifyPluginAsyncZod<{ readonly catalog: Catalog }> = async (
  app,
  { catalog },
) => {
  const tags = ['directory']

  app.get(
    '/tenants/:tenant/api-keys',
    {
      schema: {
        tags,
        summary: 'The API keys of a tenant, newest first, a page at a time, without the keys themselves',
        params: ofTenant,
        querystring: pageQuerySchema,
        response: { 200: apiKeyPageSchema, default: problemResponse },
      },
    },
    (request) => catalog.apiKeys.list(request.params.tenant, request.query),
  )

  app.post(
    '/tenants/:tenant/api-keys',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'Make an API key for a tenant; this answer alone holds the key itself',
        params: ofTenant,
        headers: idempotencyHeaders,
        body: createApiKeySchema,
        response: { 200: createdApiKeySchema, 201: createdApiKeySchema, default: problemResponse },
      },
    },
    async (request, reply) => {
      const { apiKey, created } = await catalog.apiKeys.create(
        request.params.tenant,
        request.body,
        request.user.sub,
        idempotentRequest(request),
      )
      return reply.code(created ? 201 : 200).send(apiKey)
    },
  )

  app.post(
    '/tenants/:tenant/api-keys/:apiKey/revoke',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'Take an API key away, for good',
        params: ofApiKey,
        response: { 200: apiKeySchema, default: problemResponse },
      },
    },
    (request) => catalog.apiKeys.revoke(request.params.tenant, request.params.apiKey),
  )
}
