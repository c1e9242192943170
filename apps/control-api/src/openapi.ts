import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { PROBLEM_CONTENT_TYPE, problemSchema } from '@freehold/contract'
import type { FastifyInstance } from 'fastify'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'

/** The answer of every route when it does not do what was asked. */
export const problemResponse = {
  description: 'A problem document (RFC 9457)',
  content: { [PROBLEM_CONTENT_TYPE]: { schema: problemSchema } },
}

/** The API's description at /docs/json, made of the routes' schemas, and its reader at /docs. */
export function registerDocumentation(app: FastifyInstance): void {
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Freehold control API',
        description: 'Creates tenants, moves them between placements and tells where each one lives.',
        version: '1',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: [
        { name: 'tenants', description: 'Customer organisations and where they live' },
        { name: 'directory', description: 'By what products know tenants: hosts, API keys, memberships' },
        { name: 'moves', description: 'Relocations of tenants, while they keep working' },
        { name: 'topology', description: 'Regions, clusters and tiers' },
        { name: 'service', description: 'The service itself' },
      ],
      components: {
        securitySchemes: { operatorToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      },
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  })
  app.register(swaggerUi, { routePrefix: '/docs' })
}
