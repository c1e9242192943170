import type { DatabaseConnections } from '../connections/database-pools.ts'
import type { RouterMetrics } from './router-metrics.ts'

/** One value of a metric, and what tells it from the others. */
interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A metric: its name by Prometheus's rules (base units, `_total` for what only grows) and where its values are. */
export interface MetricDefinition {
  readonly type: 'gauge' | 'counter'
  readonly name: `freehold_router_${string}`
  readonly help: string
  readonly labels: readonly string[]
  readonly samples: (metrics: RouterMetrics) => readonly Sample[]
}

/** Everything that is published about a router. No label names a tenant. */
export const metricDefinitions: readonly MetricDefinition[] = [
  byDatabase('gauge', 'connections', 'Connections to a data database, by state.', ['state'], (database) => {
    const { connecting, idle, lent, resetting, ending } = database
    return labelled('state', { connecting, idle, lent, resetting, ending })
  }),
  byDatabase('gauge', 'connection_waiters', 'Requests that wait for a connection.', [], ({ waiting }) => [
    { labels: {}, value: waiting },
  ]),
  byDatabase(
    'counter',
    'connection_waits_total',
    'Requests that found no idle connection.',
    [],
    (database) => [{ labels: {}, value: database.counters.waits }],
  ),
  byDatabase(
    'counter',
    'connection_wait_seconds_total',
    'For how long requests have waited for a connection, all together.',
    [],
    (database) => [{ labels: {}, value: database.counters.waitedMs / 1_000 }],
  ),
  byDatabase(
    'counter',
    'connection_timeouts_total',
    'Requests refused with connection_budget_exhausted, by the limit that was in the way.',
    ['limit'],
    (database) => labelled('limit', database.counters.timeouts),
  ),
  byDatabase('counter', 'connects_total', 'Connections opened.', [], (database) => [
    { labels: {}, value: database.counters.connects },
  ]),
  byDatabase('counter', 'connect_failures_total', 'Connections that could not be opened.', [], (database) => [
    { labels: {}, value: database.counters.connectFailures },
  ]),
  byDatabase(
    'counter',
    'connections_closed_total',
    'Connections closed, by reason; evicted: in favour of another database.',
    ['reason'],
    (database) => labelled('reason', database.counters.closed),
  ),
  single('gauge', 'connections_used', 'Connections of the process to all data databases.', (metrics) => {
    return metrics.connections.used
  }),
  single('gauge', 'connections_limit', 'How many connections the process may have.', (metrics) => {
    return metrics.connections.maximum
  }),
  single('gauge', 'placements_cached', 'Tenants whose placement is remembered.', (metrics) => {
    return metrics.placements.cached
  }),
  {
    type: 'counter',
    name: 'freehold_router_placement_requests_total',
    help: 'Requests by how their tenant was found: known, asked for, known not to be served, or taken from before because the catalog did not answer.',
    labels: ['outcome'],
    samples: ({ placements: { hits, misses, negativeHits, staleServes } }) =>
      labelled('outcome', { hit: hits, miss: misses, refused: negativeHits, stale: staleServes }),
  },
  single(
    'counter',
    'placement_rereads_total',
    'Times that a data database refused a placement, or was not there, so that the catalog was asked again.',
    (metrics) => metrics.placements.rereads,
  ),
  single('counter', 'catalog_lookups_total', 'Questions to the catalog.', (metrics) => {
    return metrics.placements.lookups
  }),
  single(
    'counter',
    'catalog_lookup_errors_total',
    'Questions that the catalog did not answer.',
    (metrics) => {
      return metrics.placements.lookupErrors
    },
  ),
  single('gauge', 'warm_start_placements', 'Placements loaded by the warm start.', (metrics) => {
    return metrics.warmStart.loaded
  }),
  {
    type: 'gauge',
    name: 'freehold_router_warm_start_state',
    help: '1 for the state in which the warm start is.',
    labels: ['state'],
    samples: ({ warmStart: { state } }) =>
      labelled('state', { off: 0, running: 0, done: 0, failed: 0, [state]: 1 }),
  },
  single(
    'gauge',
    'held_tenants',
    'Tenants whose writers wait for a cutover.',
    (metrics) => metrics.heldTenants,
  ),
]

function single(
  type: MetricDefinition['type'],
  name: string,
  help: string,
  read: (metrics: RouterMetrics) => number,
): MetricDefinition {
  const samples = (metrics: RouterMetrics) => [{ labels: {}, value: read(metrics) }]
  return { type, name: `freehold_router_${name}`, help, labels: [], samples }
}

function byDatabase(
  type: MetricDefinition['type'],
  name: string,
  help: string,
  labels: readonly string[],
  samplesOf: (database: DatabaseConnections) => readonly Sample[],
): MetricDefinition {
  return {
    type,
    name: `freehold_router_${name}`,
    help,
    labels: ['region', 'database', 'isolation', ...labels],
    samples: ({ databases }) =>
      [...databases].flatMap(([id, database]) =>
        samplesOf(database).map(({ labels: own, value }) => ({
          labels: { region: database.region, database: id, isolation: database.kind, ...own },
          value,
        })),
      ),
  }
}

function labelled(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }))
}
