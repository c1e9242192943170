import type { Catalog } from '@freehold/catalog'
import {
  addMembershipSchema,
  membershipPageSchema,
  membershipSchema,
  pageQuerySchema,
  tenantReferenceSchema,
} from '@freehold/contract'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { requireOperator } from '../authentication.ts'
import { idempotencyHeaders, idempotentRequest } from '../idempotency.ts'
import { problemResponse } from '../openapi.ts'

const ofTenant = z.object({ tenant: tenantReferenceSchema })
const ofMembership = ofTenant.extend({ membership: z.uuid() })

/** Who may act in which tenant of a product. */
export const membershipRoutes: FastifyPluginAsyncZod<{ readonly catalog: Catalog }> = async (
  app,
  { catalog },
) => {
  const tags = ['directory']

  app.get(
    '/tenants/:tenant/memberships',
    {
      schema: {
        tags,
        summary: 'The members of a tenant, by subject, a page at a time',
        params: ofTenant,
        querystring: pageQuerySchema,
        response: { 200: membershipPageSchema, default: problemResponse },
      },
    },
    (request) => catalog.memberships.list(request.params.tenant, request.query),
  )

  app.post(
    '/tenants/:tenant/memberships',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'Make a person a member of a tenant',
        params: ofTenant,
        headers: idempotencyHeaders,
        body: addMembershipSchema,
        response: { 200: membershipSchema, 201: membershipSchema, default: problemResponse },
      },
    },
    async (request, reply) => {
      const { membership, created } = await catalog.memberships.add(
        request.params.tenant,
        request.body,
        idempotentRequest(request),
      )
      return reply.code(created ? 201 : 200).send(membership)
    },
  )

  app.delete(
    '/tenants/:tenant/memberships/:membership',
    {
      onRequest: requireOperator,
      schema: {
        tags,
        summary: 'End a membership; tokens that are out are good until they expire',
        params: ofMembership,
        response: { 204: z.null(), default: problemResponse },
      },
    },
    async (request, reply) => {
      await catalog.memberships.remove(request.params.tenant, request.params.membership)
      return reply.code(204).send(null)
    },
  )
}
