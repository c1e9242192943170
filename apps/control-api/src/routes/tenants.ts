import type { AdmitTenant, Catalog } from '@freehold/catalog'
import {
  createTenantSchema,
  referenceSyncSchema,
  syncReferencesSchema,
  tenantDetailSchema,
  tenantPageSchema,
  tenantQuerySchema,
  tenantReferenceSchema,
  tenantSchema,
} from '@freehold/contract'
import { syncReferences } from '@freehold/engine'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { requireOperator } from '../authentication.ts'
import { idempotencyHeaders, idempotentRequest } from '../idempotency.ts'
import { problemResponse } from '../openapi.ts'

export interface TenantRoutesOptions {
  readonly catalog: Catalog
  readonly admit: AdmitTenant
}

export const tenantRoutes: FastifyPluginAsyncZod<TenantRoutesOptions> = async (app, { catalog, admit }) => {
  const tags = ['tenants']

  app.get(
    '/tenants',
    {
      schema: {
        tags,
        summary: 'Tenants by slug, a page at a time',
        querystring: tenantQuerySchema,
        response: { 200: tenantPageSchema, default: problemResponse },
      },
    },
    (request) => catalog.tenants.list(request.query),
  )

  app.post(
    '/tenants',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'Create a tenant in the pool of a region',
        headers: idempotencyHeaders,
        body: createTenantSchema,
        response: { 200: tenantSchema, 201: tenantSchema, default: problemResponse },
      },
    },
    async (request, reply) => {
      const { tenant, created } = await catalog.tenants.create(
        request.body,
        admit,
        idempotentRequest(request),
      )
      return reply.code(created ? 201 : 200).send(tenant)
    },
  )

  app.get(
    '/tenants/:tenant',
    {
      schema: {
        tags,
        summary: 'A tenant with every placement it has or had',
        params: z.object({ tenant: tenantReferenceSchema }),
        response: { 200: tenantDetailSchema, default: problemResponse },
      },
    },
    (request) => catalog.tenants.detail(request.params.tenant),
  )

  app.post(
    '/tenants/:tenant/references',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary:
          "Bring the reference tables of a tenant's own database or schema in step with a pool of its region",
        params: z.object({ tenant: tenantReferenceSchema }),
        body: syncReferencesSchema,
        response: { 200: referenceSyncSchema, default: problemResponse },
      },
    },
    (request) => syncReferences(catalog, request.params.tenant, request.body),
  )
}
