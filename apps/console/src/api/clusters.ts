import {
  type DrainPlan,
  drainPlanSchema,
  type Evacuation,
  type EvacuationTarget,
  evacuationSchema,
  type Topology,
  topologySchema,
} from '@freehold/contract'
import { request } from './request.ts'

/** What an operator chooses of an evacuation. */
export interface AskedDrain {
  readonly to: EvacuationTarget
  readonly maxConcurrent: number
}

/** Checks some of the tenants that would have to leave a cluster, and changes nothing. */
export function planDrain(
  cluster: string,
  asked: AskedDrain,
  after: string | undefined,
  signal: AbortSignal,
): Promise<DrainPlan> {
  const body = { ...asked, dryRun: true, after }
  return request(pathOf(cluster, 'drain'), drainPlanSchema, { method: 'POST', body, signal })
}

export function drainCluster(cluster: string, asked: AskedDrain): Promise<Evacuation> {
  return request(pathOf(cluster, 'drain'), evacuationSchema, { method: 'POST', body: asked })
}

export function undrainCluster(cluster: string): Promise<Topology> {
  return request(pathOf(cluster, 'undrain'), topologySchema, { method: 'POST' })
}

export function getEvacuation(cluster: string, signal: AbortSignal): Promise<Evacuation> {
  return request(pathOf(cluster, 'evacuation'), evacuationSchema, { signal })
}

const pathOf = (cluster: string, what: string) => `/v1/clusters/${encodeURIComponent(cluster)}/${what}`
