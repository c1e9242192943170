import type { Catalog } from '@freehold/catalog'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { problemResponse } from '../openapi.ts'

const okSchema = z.object({ status: z.literal('ok') })

/** Is it alive, and should it be sent requests? */
export const serviceRoutes: FastifyPluginAsyncZod<{ readonly catalog: Catalog }> = async (
  app,
  { catalog },
) => {
  const schema = { tags: ['service'], response: { 200: okSchema, default: problemResponse } }

  app.get('/healthz', { schema: { ...schema, summary: 'Whether the process is alive' } }, async () => ({
    status: 'ok' as const,
  }))

  app.get('/readyz', { schema: { ...schema, summary: 'Whether requests can be answered' } }, async () => {
    await catalog.ping()
    return { status: 'ok' as const }
  })
}
