import type { Span, SpanProcessor } from '@opentelemetry/sdk-trace-base'
import { currentTenantIfAny } from '../context/tenant-context.ts'
import { TENANT_FIELD } from './log-fields.ts'

/**
 * Puts `tenant.id` on every span that is started inside a tenant's context, by whatever library. Spans that began
 * before the tenant was known, as the one of an HTTP request, get theirs from {@link traceRouter}.
 *
 * @example
 * ```ts
 * const provider = new BasicTracerProvider({
 *   spanProcessors: [new TenantSpanProcessor(), new BatchSpanProcessor(exporter)],
 * })
 * ```
 */
export class TenantSpanProcessor implements SpanProcessor {
  onStart(span: Span): void {
    const context = currentTenantIfAny()
    if (context) span.setAttribute(TENANT_FIELD, context.tenant.id)
  }

  onEnd(): void {}

  async forceFlush(): Promise<void> {}

  async shutdown(): Promise<void> {}
}
