import type { EventEmitter } from 'node:events'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { publishTenantEntered } from '../events.ts'
import { withTenantField } from '../telemetry/log-fields.ts'
import { runInContext, type TenantContext } from './tenant-context.ts'

/**
 * Makes everything that runs for a request run as its tenant, from now on to the last hook; and everything that runs
 * for a request without a tenant as nobody, whatever the context of the connection or of the caller of `inject()`.
 *
 * A context follows promises and callbacks, but events of a stream or a socket come as whoever wakes them. So the
 * request's and the reply's own events are bound to the tenant, which covers the reading of bodies, multipart
 * included; and each hook enters again, in case a hook or a handler before it has let go of the context. Hooks of the
 * product see it when they are registered after this.
 *
 * @param contextOf the request's context once its tenant is known; null before, and for requests without one.
 */
export function keepTenantContext(
  app: FastifyInstance,
  contextOf: (request: FastifyRequest) => TenantContext | null,
): void {
  const enter = (request: FastifyRequest, done: () => void) =>
    runInContext(contextOf(request) ?? undefined, done)

  app.addHook('onRequest', (request, reply, done) => {
    const context = contextOf(request) ?? undefined
    bindEvents(request.raw, context)
    bindEvents(reply.raw, context)
    if (context) nameInLog(request, reply, context)
    runInContext(context, () => {
      if (context) publishTenantEntered({ tenantId: context.tenant.id })
      done()
    })
  })
  app.addHook('preParsing', (request, _reply, _payload, done) => enter(request, done))
  app.addHook('preValidation', (request, _reply, done) => enter(request, done))
  app.addHook('preHandler', (request, _reply, done) => enter(request, done))
  app.addHook('preSerialization', (request, _reply, _payload, done) => enter(request, done))
  app.addHook('onError', (request, _reply, _error, done) => enter(request, done))
  app.addHook('onSend', (request, _reply, _payload, done) => enter(request, done))
  app.addHook('onResponse', (request, _reply, done) => enter(request, done))
  app.addHook('onTimeout', (request, _reply, done) => enter(request, done))
  app.addHook('onRequestAbort', (request, done) => enter(request, done))
}

/** Listeners of the emitter run in the context. */
function bindEvents(emitter: EventEmitter, context: TenantContext | undefined): void {
  const emit = emitter.emit.bind(emitter)
  emitter.emit = (...event) => runInContext(context, () => emit(...event))
}

function nameInLog(request: FastifyRequest, reply: FastifyReply, { tenant }: TenantContext): void {
  const log = withTenantField(request.log, tenant.id)
  request.log = log
  reply.log = log
}
