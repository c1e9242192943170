import {
  type Catalog,
  type ClusterRecord,
  type Lease,
  moverAddress,
  type Operation,
  ownerAddress,
} from '@freehold/catalog'
import {
  type ClusterId,
  type DataDatabaseId,
  type Epoch,
  epochSchema,
  type FindingCode,
  FreeholdError,
  type Isolation,
  type MovePhase,
  type MoveProgress,
} from '@freehold/contract'
import { type DatabaseAddress, deriveEntryKey, type Lsn } from '@freehold/postgres'
import type { Checksum } from '../database/checksum.ts'
import type { TenantScope } from '../database/entered.ts'
import type { SequencePair } from '../database/sequences.ts'
import type { TablePair } from '../database/tables.ts'
import type { KeptConnections } from '../kept-connections.ts'
import type { LeaseKeeper } from '../lease-keeper.ts'
import type { Place } from '../places.ts'
import type { Applier, HeldSnapshot } from '../stream/change-stream.ts'
import type { CallOffCode } from './call-off.ts'
import { type Direction, moveNames } from './names.ts'
import { ProgressReport } from './progress-report.ts'
import type { MoveSettings } from './settings.ts'
import { type MoveState, moveStateSchema } from './state.ts'

/** One end of a move. */
export interface Side {
  readonly cluster: ClusterRecord
  readonly database: string
  /** How the tenant is kept apart there. */
  readonly isolation: Isolation
  /** Where the tenant's tables are. */
  readonly schema: string
  readonly epoch: Epoch
  /** As freehold_owner: for what only the owner of the tables may do. */
  readonly owner: DatabaseAddress
  /** As freehold_mover. */
  readonly mover: DatabaseAddress
}

/** The end of a move at which the tenant lives. */
interface Home extends Side {
  readonly dataDatabaseId: DataDatabaseId
}

/**
 * A move in the hands of one worker: what the catalog says, where the two sides are, and what this worker holds open
 * for it. Everything that must survive the worker is in {@link state}.
 *
 * Between its switch and its end a move leads back: `source` is then where the tenant was moved to, and `target` where it came
 * from. So each step is the same in both directions.
 */
export interface Move {
  readonly operation: Operation
  readonly lease: Lease
  readonly catalog: Catalog
  readonly settings: MoveSettings
  readonly direction: Direction
  readonly names: ReturnType<typeof moveNames>
  readonly source: Home
  /** A copy that begins anew may get a new database or schema. */
  target: Side
  readonly progress: ProgressReport
  /** Aborted when the lease is lost, a cancel is asked for or the worker stops; steps look at it between writes. */
  readonly signal: AbortSignal
  /** What people ask of the move. */
  readonly orders: Orders
  /** This move's place among those that this worker runs. */
  readonly place: Place
  /** Called at every durable write, so that a test can stop the worker there. */
  readonly barrier: (name: string) => Promise<void>
  state: MoveState
  readonly connections: KeptConnections
  /** What this worker has open; a worker that resumes the move opens its own. */
  readonly session: MoveSession
}

/** Why a switch was called off. */
interface CalledOff {
  readonly reason: string
  readonly code: CallOffCode
  /** Whether the timeline has it already. */
  readonly isTold: boolean
}

type Orders = Pick<LeaseKeeper, 'directions' | 'next' | 'renew'>

interface MoveSession {
  /** Codes of what the checks before the move have found and what does not block it. */
  advice?: readonly FindingCode[]
  tables?: readonly TablePair[]
  sequences?: readonly SequencePair[]
  /** Reference tables of which the target has its own. */
  references?: readonly TablePair[]
  /** What these were at the source when the target's were found, or made, to be the same. */
  referencesSeen?: readonly Checksum[]
  /** In the log of the source: what precedes it is not carried over. */
  streamBegins?: Lsn
  /** What the copy looks at; it lives as long as the connection that made the stream. */
  snapshot?: HeldSnapshot
  applier?: Applier
  /** The applier that has remembered every changed key since the verification. */
  verifiedBy?: Applier
  /** What the tables of both sides were when the verification began. */
  verifiedSchemas?: { readonly source: string; readonly target: string }
  /** When routers were told last that the tenant is coming, by `performance.now()`. */
  routersToldAt?: number
  /** The last switch that was called off. */
  calledOff?: CalledOff
  /** Since when a moment to switch is sought, by `performance.now()`. */
  calmSoughtSince?: number
  /** Clusters that what the move has made there could not be removed from. */
  unreached?: readonly string[]
  /** Fulfilled when what everything waits for has come. */
  hold?: Promise<void>
}

export interface OpenMove {
  readonly operation: Operation
  readonly lease: Lease
  readonly catalog: Catalog
  readonly settings: MoveSettings
  readonly signal: AbortSignal
  readonly orders: Orders
  readonly place: Place
  readonly barrier: (name: string) => Promise<void>
}

/**
 * Takes up a move where the catalog says it stands.
 *
 * @throws FreeholdError `internal` when its state was written by another version.
 */
export async function openMove(open: OpenMove, connections: KeptConnections): Promise<Move> {
  const { operation, catalog } = open
  const state = moveStateSchema.safeParse(operation.state)
  if (!state.success) {
    throw new FreeholdError('internal', 'The state of the move was written by another version of Freehold.')
  }
  const direction = directionOf(operation.phase)
  const [source, target] = await openSides(catalog, operation, direction)
  return {
    ...open,
    direction,
    source,
    target,
    names: moveNames(open.lease, direction),
    state: state.data,
    progress: new ProgressReport(operation.progress, (progress: MoveProgress) =>
      catalog.operations.saveProgress(open.lease, progress),
    ),
    connections,
    session: {},
  }
}

/** Which way a move leads in a phase. */
export function directionOf(phase: MovePhase): Direction {
  return phase === 'soak' || phase === 'rolling_back' ? 'back' : 'forth'
}

/** Whether this move, on its way to its target, can be rolled back afterwards. */
export function hasWindow({ direction, operation }: Pick<Move, 'direction' | 'operation'>): boolean {
  return direction === 'forth' && operation.rollbackWindowSeconds > 0
}

async function openSides(
  catalog: Catalog,
  operation: Operation,
  direction: Direction,
): Promise<[source: Home, target: Side]> {
  const { source: from, targetDatabaseId } = operation
  const to = {
    cluster: operation.targetCluster,
    isolation: operation.targetIsolation,
    database: operation.targetDatabase,
    schema: operation.targetSchema,
    epoch: epochSchema.parse(from.epoch + 1),
  }
  const { dataDatabaseId } = from
  if (direction === 'forth') {
    const [source, target] = await Promise.all([openSide(catalog, from), openSide(catalog, to)])
    return [{ ...source, dataDatabaseId }, target]
  }
  if (targetDatabaseId === null) throw new FreeholdError('internal', "The tenant's home is not registered.")
  const [source, target] = await Promise.all([
    openSide(catalog, to),
    openSide(catalog, { ...from, epoch: epochSchema.parse(from.epoch + 2) }),
  ])
  return [{ ...source, dataDatabaseId: targetDatabaseId }, target]
}

/** Finds the addresses of one end of a move. */
export async function openSide(
  catalog: Catalog,
  at: { readonly cluster: ClusterId } & Pick<Side, 'isolation' | 'database' | 'schema' | 'epoch'>,
): Promise<Side> {
  const { isolation, database, schema, epoch } = at
  const cluster = await catalog.topology.cluster(at.cluster)
  const [owner, mover] = await Promise.all([ownerAddress(cluster, database), moverAddress(cluster, database)])
  return { cluster, isolation, database, schema, epoch, owner, mover }
}

/** The tenant where it is now. */
export function sourceScope(move: Move): TenantScope {
  return scope(move, move.source, move.source.dataDatabaseId)
}

/** The tenant where it is going. */
export async function targetScope(move: Move): Promise<TenantScope> {
  return scope(move, move.target, await targetDatabaseId(move))
}

/** The target as the catalog knows it; asking twice is asking once. */
export async function targetDatabaseId({ catalog, target }: Move): Promise<DataDatabaseId> {
  const place = { clusterId: target.cluster.id, name: target.database }
  if (target.isolation === 'silo') return catalog.topology.registerSilo(place)
  const { id } = await catalog.topology.pool(place)
  return id
}

function scope(move: Move, side: Side, dataDatabaseId: DataDatabaseId): TenantScope {
  const { tenantId } = move.operation
  const entryKey = deriveEntryKey(move.settings.entrySecret, { tenantId, dataDatabaseId, epoch: side.epoch })
  return { tenantId, epoch: side.epoch, entryKey, schema: side.schema, mover: side.mover }
}

/** Writes the state down before what it announces is done. */
export async function saveState(move: Move, change: Partial<MoveState>): Promise<void> {
  move.state = { ...move.state, ...change }
  await move.catalog.operations.saveState(move.lease, move.state)
}

/** Closes what this worker has open for the move, but for its kept connections. */
export async function closeSession(move: Move): Promise<void> {
  const { session } = move
  await session.applier?.close()
  await session.snapshot?.release()
  delete session.applier
  delete session.verifiedBy
  delete session.snapshot
  delete session.tables
  delete session.sequences
  delete session.references
  delete session.referencesSeen
  delete session.streamBegins
}
