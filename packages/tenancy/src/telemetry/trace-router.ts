import { isFreeholdError } from '@freehold/contract'
import { type Attributes, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api'
import { routerEvents, type StatementEvent } from '../events.ts'
import { TENANT_FIELD } from './log-fields.ts'

/**
 * Makes spans of what the router does, by OpenTelemetry's conventions for database clients: one of kind CLIENT for
 * each statement, from sending it to its answer, below the span that is active. It names the operation, the database
 * and the server, and neither the statement nor its parameters. The span that is active when a tenant is entered gets
 * its `tenant.id`: that of the request, or of the job.
 *
 * @param tracer the tracer to use; that of the global provider unless given.
 * @returns how to stop.
 * @example
 * ```ts
 * const stop = traceRouter()
 * ```
 */
export function traceRouter(tracer: Tracer = trace.getTracer('@freehold/tenancy')): () => void {
  const stops = [
    routerEvents.onTenantEntered(({ tenantId }) => {
      trace.getActiveSpan()?.setAttribute(TENANT_FIELD, tenantId)
    }),
    routerEvents.onStatement((event) => recordStatement(tracer, event)),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}

function recordStatement(tracer: Tracer, event: StatementEvent): void {
  const namespace = `${event.database}|${event.schema}`
  const span = tracer.startSpan(`${event.operation} ${namespace}`, {
    kind: SpanKind.CLIENT,
    startTime: event.startedAt,
    attributes: {
      'db.system.name': 'postgresql',
      'db.namespace': namespace,
      'db.operation.name': event.operation,
      'server.address': event.host,
      'server.port': event.port,
      [TENANT_FIELD]: event.tenantId,
      ...failure(event.error),
    },
  })
  // A message may repeat values of rows, so only its class is told.
  if (event.error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR })
  span.end(event.startedAt + event.durationMs)
}

const SQLSTATE = /^[0-9A-Z]{5}$/

function failure(error: unknown): Attributes {
  if (error === undefined) return {}
  if (isFreeholdError(error)) return { 'error.type': error.code }
  if (!(error instanceof Error)) return { 'error.type': '_OTHER' }
  const code = 'code' in error ? String(error.code) : ''
  return SQLSTATE.test(code)
    ? { 'db.response.status_code': code, 'error.type': code }
    : { 'error.type': error.name }
}
