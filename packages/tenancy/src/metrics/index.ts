export { type PublishOptions, publishMetrics } from './prometheus.ts'
export type { RouterMetrics } from './router-metrics.ts'
