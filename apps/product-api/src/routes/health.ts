import type { FastifyPluginCallback } from 'fastify'

/** Whether the process answers; its tenants' databases have no say in that. */
export const healthRoute: FastifyPluginCallback = (app, _options, done) => {
  app.get('/healthz', { config: { tenant: false } }, async () => ({ status: 'ok' }))
  done()
}
