import type { Isolation, MoveEstimates } from '@freehold/contract'
import type { TableEstimate } from '../database/estimate.ts'
import type { StreamKind } from '../stream/choose-stream.ts'
import type { ServerFacts } from './facts/server.ts'

/** Copy with two streams, keys and indexes, verification: `npm run bench -- move`, see docs/moving-a-tenant.md. */
const MEASURED_BYTES_PER_SECOND = 10_000_000
/** What a move takes for a tenant without rows, as `npm run bench -- pause` and the tests see it. */
const CONSTANT_SECONDS = 1.5

/** Connections for each stream of the copy and one besides; the verification and the switch take no more. */
const COPY_STREAMS = 2
const SOURCE_CONNECTIONS = COPY_STREAMS + 1
const targetConnections = (isolation: Isolation) => COPY_STREAMS * (isolation === 'pool' ? 2 : 1) + 2
/** The change stream, and beside it the slot that marks the point of a verification. */
export const REPLICATION_CONNECTIONS = 2

interface EstimatedMove {
  readonly isolation: Isolation
  /** Whether both ends are on it. */
  readonly isOneServer: boolean
  readonly window: { readonly seconds: number; readonly stream: StreamKind } | undefined
}

/** What a move will take. A guess with a method: docs/moving-a-tenant.md says how each figure is made. */
export function estimateMove(
  tables: readonly TableEstimate[],
  source: { readonly walBytesPerSecond: number },
  target: Pick<ServerFacts, 'templateBytes' | 'walBytesPerSecond' | 'slotKeepBytes'>,
  { isolation, isOneServer, window }: EstimatedMove,
): MoveEstimates {
  const sum = (of: (table: TableEstimate) => number) => tables.reduce((total, table) => total + of(table), 0)
  const bytes = sum(({ bytesEstimated }) => bytesEstimated)
  const seconds = CONSTANT_SECONDS + bytes / MEASURED_BYTES_PER_SECOND
  return {
    rows: sum(({ rowsEstimated }) => rowsEstimated),
    bytes,
    seconds: Math.round(seconds * 10) / 10,
    extraDisk: {
      sourceBytes: Math.round(source.walBytesPerSecond * seconds),
      targetBytes: Math.round(
        sum(({ diskBytesEstimated }) => diskBytesEstimated) +
          (isolation === 'silo' ? target.templateBytes : 0),
      ),
      windowBytes: window === undefined ? 0 : keptForWindow(window, source, target, isOneServer),
    },
    connections: {
      source: SOURCE_CONNECTIONS,
      target: targetConnections(isolation),
      replication: REPLICATION_CONNECTIONS,
    },
  }
}

/**
 * What the target keeps at most while the window is open: all that comes, if the old home cannot be reached. A slot keeps the
 * log of its whole server, to which the tenant's part comes from the source; a note of a changed row takes no more than the change takes
 * there. How much of a server's log is the tenant's, nobody knows before.
 */
function keptForWindow(
  { seconds, stream }: NonNullable<EstimatedMove['window']>,
  source: { readonly walBytesPerSecond: number },
  target: Pick<ServerFacts, 'walBytesPerSecond' | 'slotKeepBytes'>,
  isOneServer: boolean,
): number {
  const tenants = source.walBytesPerSecond
  if (stream === 'triggers') return Math.round(tenants * seconds)
  const bytesPerSecond = target.walBytesPerSecond + (isOneServer ? 0 : tenants)
  return Math.round(Math.min(bytesPerSecond * seconds, target.slotKeepBytes ?? Number.POSITIVE_INFINITY))
}
