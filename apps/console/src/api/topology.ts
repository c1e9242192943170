import { type Topology, topologySchema } from '@freehold/contract'
import { request } from './request.ts'

export function getTopology(signal: AbortSignal): Promise<Topology> {
  return request('/v1/topology', topologySchema, { signal })
}
