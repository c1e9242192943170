import { Counter, Gauge, type Registry, register } from 'prom-client'
import { type MetricDefinition, metricDefinitions } from './metric-definitions.ts'
import type { RouterMetrics } from './router-metrics.ts'

export interface PublishOptions {
  /** Where to publish; the default registry of `prom-client` unless set. */
  readonly registry?: Registry
}

/**
 * Publishes what a router does as metrics of Prometheus, read from the router whenever they are collected. Labels are
 * the region, the id of the data database, and whether it is a pool or a silo; never a tenant. A database that has
 * not been used for a while is left out, and begins at zero when it is used again.
 *
 * @returns takes the metrics back.
 * @throws Error when the registry has metrics of a router already.
 * @example
 * ```ts
 * import { publishMetrics } from '@freehold/tenancy/metrics'
 * import { register } from 'prom-client'
 *
 * publishMetrics(router)
 * app.get('/metrics', { config: { tenant: false } }, () => register.metrics())
 * ```
 */
export function publishMetrics(
  router: { metrics(): RouterMetrics },
  { registry = register }: PublishOptions = {},
): () => void {
  for (const definition of metricDefinitions) publish(definition, router, registry)
  return () => {
    for (const { name } of metricDefinitions) registry.removeSingleMetric(name)
  }
}

function publish(
  definition: MetricDefinition,
  router: { metrics(): RouterMetrics },
  registry: Registry,
): void {
  const { name, help, labels: labelNames, samples } = definition
  const config = { name, help, labelNames, registers: [registry] }
  if (definition.type === 'gauge') {
    const gauge: Gauge = new Gauge({
      ...config,
      collect() {
        gauge.reset()
        for (const { labels, value } of samples(router.metrics())) gauge.set(labels, value)
      },
    })
    return
  }
  const counter: Counter = new Counter({
    ...config,
    collect() {
      // The router has counted; its numbers take the place of those published before.
      counter.reset()
      for (const { labels, value } of samples(router.metrics())) counter.inc(labels, value)
    },
  })
}
