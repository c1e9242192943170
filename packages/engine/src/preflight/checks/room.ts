import type { MoveEstimates } from '@freehold/contract'
import type { ServerFacts } from '../facts/server.ts'
import type { Finding } from '../finding.ts'

interface Cluster {
  readonly name: string
  /** What the catalog grants it; null: not limited. */
  readonly capacityBytes: number | null
  readonly server: Pick<ServerFacts, 'usedBytes' | 'connections'>
}

/** Whether both sides have the disk room and the connections for the move, as far as is known. */
export function checkRoom(source: Cluster, target: Cluster, estimates: MoveEstimates): Finding[] {
  const { extraDisk, connections } = estimates
  return [
    ...checkTargetRoom(target, extraDisk.targetBytes),
    ...checkSourceRoom(source, extraDisk.sourceBytes),
    ...checkWindowRoom(target, extraDisk),
    ...(source.name === target.name
      ? checkConnections(source, connections.source + connections.target)
      : [...checkConnections(source, connections.source), ...checkConnections(target, connections.target)]),
  ]
}

/** Room is what the catalog grants the cluster less what all of its databases take now. */
function checkTargetRoom(
  target: Omit<Cluster, 'server'> & { readonly server: { usedBytes: number | null } },
  needed: number,
): Finding[] {
  const free = freeBytes(target)
  if (free === undefined || needed <= free) return []
  return [
    {
      code: 'target_without_room',
      object: target.name,
      found: `The tenant needs about ${needed} bytes; cluster ${target.name} has ${free} of ${target.capacityBytes} left.`,
      details: { cluster: target.name, neededBytes: needed, freeBytes: free },
    },
  ]
}

function checkSourceRoom(source: Cluster, needed: number): Finding[] {
  const free = freeBytes(source)
  if (free === undefined || needed <= free) return []
  const found = `About ${needed} bytes of log are kept during the move; cluster ${source.name} has ${free} bytes left.`
  return [{ code: 'source_without_room', object: source.name, found }]
}

/** Kept only for as long as the old home is away, so that nothing is refused for it. */
function checkWindowRoom(
  target: Cluster,
  { targetBytes, windowBytes }: MoveEstimates['extraDisk'],
): Finding[] {
  const free = freeBytes(target)
  if (free === undefined || windowBytes === 0 || targetBytes + windowBytes <= free) return []
  const found = `Up to ${windowBytes} bytes are kept while the rollback window is open, if the old home is away for so long; with the tenant, cluster ${target.name} has ${Math.max(free - targetBytes, 0)} bytes left.`
  return [{ code: 'window_without_room', object: target.name, found }]
}

function freeBytes({
  capacityBytes,
  server,
}: Omit<Cluster, 'server'> & { readonly server: { usedBytes: number | null } }): number | undefined {
  if (capacityBytes === null || server.usedBytes === null) return undefined
  return Math.max(capacityBytes - server.usedBytes, 0)
}

function checkConnections({ name, server }: Cluster, needed: number): Finding[] {
  const { most, used } = server.connections
  const left = Math.max(most - used, 0)
  if (left >= needed) return []
  const found = `${left} of ${most} connections are left on ${name}; the move uses up to ${needed}.`
  return [{ code: 'connections_exhausted', object: name, found }]
}
