export { TenantSpanProcessor } from './span-processor.ts'
export { traceRouter } from './trace-router.ts'
