import { type ClusterRecord, moverAddress, ownerAddress } from '@freehold/catalog'
import type { ChangeStreamChoice, Isolation, MoveEstimates } from '@freehold/contract'
import type { ClientBase } from 'pg'
import type { TenantScope } from '../database/entered.ts'
import { estimateTables, type TableEstimate } from '../database/estimate.ts'
import { readTableFacts, type TableFacts } from '../database/table-facts.ts'
import { tenantTables } from '../database/tables.ts'
import { findUnenteredWriter, relationsOf, type UnenteredWriter } from '../database/unentered-writers.ts'
import type { Connections } from '../kept-connections.ts'
import { checkPool } from '../placements/pool-checks.ts'
import { MAINTENANCE_DATABASE } from '../resources/database.ts'
import type { StreamKind } from '../stream/choose-stream.ts'
import { checkActivity, checkUnentered } from './checks/activity.ts'
import { checkChangeStream } from './checks/change-stream.ts'
import { checkDatabases, checkFreehold } from './checks/database.ts'
import { checkRoles } from './checks/roles.ts'
import { checkRoom } from './checks/room.ts'
import { checkVersions, majorOf } from './checks/servers.ts'
import { checkTableTraits } from './checks/table-traits.ts'
import { checkTables } from './checks/tables.ts'
import { checkIntervals, checkRoutines, holdsInfinity } from './checks/version-needs.ts'
import { checkWayBack, type WayBack } from './checks/way-back.ts'
import { estimateMove, REPLICATION_CONNECTIONS } from './estimate.ts'
import { type ActivityFacts, readActivity } from './facts/activity.ts'
import { type DatabaseFacts, isUpToDate, readDatabase } from './facts/database.ts'
import { readServer, type ServerFacts } from './facts/server.ts'
import { readTableTraits, type TableTrait } from './facts/table-traits.ts'
import { infiniteIntervals, missingRoutines, readRoutineUses } from './facts/version-needs.ts'
import { type Finding, isBlocking } from './finding.ts'
import { type Reached, reach } from './reach.ts'

/** What has been read of the end from which a tenant is to move. */
interface SourceFacts {
  readonly tables: readonly TableFacts[]
  readonly traits: readonly TableTrait[]
  /** Empty as long as a table could not be read safely, and when they are of no interest. */
  readonly sizes: readonly TableEstimate[]
  readonly server: ServerFacts
  readonly database: DatabaseFacts
  readonly activity: ActivityFacts
  /** One that writes to the tables now, and has not entered. */
  readonly unentered: UnenteredWriter | undefined
}

/** What a plan has found of the rows, for whoever checks it again. */
interface KnownRows {
  readonly rows: ReadonlyMap<string, number>
  /** Whether to find out what they take; without a limit of room on either side nobody asks. */
  readonly sized: boolean
}

export interface MoveSource {
  readonly scope: TenantScope
  readonly cluster: ClusterRecord
  /** How its changes are to be followed. */
  readonly stream: StreamKind
}

interface AskedWindow {
  readonly seconds: number
  /** How the target's changes are to be carried back. */
  readonly changeStream: ChangeStreamChoice
}

export interface MoveDestination {
  readonly cluster: ClusterRecord
  /** The database that the move makes, or the pool that it leads to. */
  readonly database: string
  readonly isolation: Isolation
  /** At which the tenant would live there. */
  readonly epoch: number
  /** The rollback window that the move is to have. */
  readonly window: AskedWindow | undefined
}

/** What the checks of a move have found, and what there is to move. */
export interface Examination {
  /** About the source, whatever the target, but for its isolation. */
  readonly source: readonly Finding[]
  /** About the target, by itself and as a target of this source. */
  readonly target: readonly Finding[]
  readonly tables: readonly TableEstimate[]
  /** null: not both sides could be read. */
  readonly estimates: MoveEstimates | null
  /** How the target's changes will be carried back; undefined without a rollback window, or when not both sides could be read. */
  readonly back: StreamKind | undefined
}

/**
 * Reads the source once, however many targets it is then held against. Changes nothing.
 *
 * @param known rows by table that need not be counted again, and whether the room that they take is of interest.
 */
export async function readSource(
  connections: Connections,
  source: MoveSource,
  known?: KnownRows,
): Promise<Reached<SourceFacts>> {
  const { scope, cluster } = source
  return reach(connections, 'source_unreachable', cluster.id, scope.mover, async (client) => {
    // One after the other: tenants are at work there.
    const tables = await readTablesAndSizes(client, scope, known)
    return { ...tables, ...(await readSurroundings(client, source)) }
  })
}

async function readTablesAndSizes(
  client: ClientBase,
  scope: TenantScope,
  known: KnownRows | undefined,
): Promise<Pick<SourceFacts, 'tables' | 'sizes' | 'unentered'>> {
  const tables = await readTableFacts(client, scope.schema)
  const ofTenants = tenantTables(tables, scope.schema)
  // A table that is not guarded would count other tenants' rows.
  const isSafe = !checkTables(tables, scope.schema).some(isBlocking)
  const sizes =
    isSafe && known?.sized !== false ? await estimateTables(client, scope, ofTenants, known?.rows) : []
  const unentered = await findUnenteredWriter(client, await relationsOf(client, ofTenants))
  return { tables, sizes, unentered }
}

async function readSurroundings(
  client: ClientBase,
  { scope, cluster }: MoveSource,
): Promise<Omit<SourceFacts, 'tables' | 'sizes' | 'unentered'>> {
  return {
    traits: await readTableTraits(client, scope.schema),
    server: await readServer(client, scope.mover.database, cluster.capacityBytes !== null),
    database: await readDatabase(client),
    activity: await readActivity(client),
  }
}

/**
 * Finds out whether a move can work, before anything is created. Whether something is in its way is in the findings; it
 * throws only what nobody expects.
 *
 * @param reading what {@link readSource} reads; both ends are read at the same time.
 */
export async function examineMove(
  connections: Connections,
  source: MoveSource,
  destination: MoveDestination,
  reading: Promise<Reached<SourceFacts>>,
): Promise<Examination> {
  const [read, target] = await Promise.all([reading, reachTarget(connections, destination)])
  const sourceFindings =
    read.facts === undefined ? [read.refusal] : checkSource(source, read.facts, destination)
  const tables = read.facts?.sizes ?? []
  if (target.facts === undefined || read.facts === undefined) {
    const targetFindings = target.refusal === undefined ? [] : [target.refusal]
    return { source: sourceFindings, target: targetFindings, tables, estimates: null, back: undefined }
  }
  const wayBack = findWayBack(source, destination, target.facts)
  const estimates = estimateMove(tables, read.facts.server, target.facts, {
    isolation: destination.isolation,
    isOneServer: source.cluster.id === destination.cluster.id,
    window: wayBack && { seconds: wayBack.seconds, stream: wayBack.stream },
  })
  const targetFindings = [
    ...checkEmpty(destination, target.facts),
    // What is the source's cluster's as well need not be said again.
    ...(wayBack?.findings ?? []).filter(({ found }) => !sourceFindings.some((told) => told.found === found)),
    ...(sourceFindings.some(isBlocking)
      ? []
      : [
          ...(await examineShared(connections, source, destination, read.facts.tables)),
          ...(await examineOlder(connections, source, destination, read.facts, target.facts)),
        ]),
    ...checkBoth(source, read.facts, destination, target.facts, { estimates, back: wayBack?.stream }),
  ]
  return { source: sourceFindings, target: targetFindings, tables, estimates, back: wayBack?.stream }
}

async function reachTarget(
  connections: Connections,
  { cluster, database }: MoveDestination,
): Promise<Reached<ServerFacts>> {
  const maintenance = await ownerAddress(cluster, MAINTENANCE_DATABASE)
  return reach(connections, 'target_unreachable', cluster.id, maintenance, (client) =>
    readServer(client, database, cluster.capacityBytes !== null),
  )
}

function checkSource(
  { scope, cluster, stream }: MoveSource,
  facts: SourceFacts,
  { isolation }: MoveDestination,
): Finding[] {
  return [
    ...checkTables(facts.tables, scope.schema),
    ...checkTableTraits(facts.traits, scope.schema, isolation),
    ...(stream === 'logical'
      ? checkChangeStream({ name: cluster.id, server: facts.server }, REPLICATION_CONNECTIONS)
      : []),
    ...checkActivity(facts.activity),
    ...checkUnentered(facts.unentered),
    ...checkFreehold(facts.database.isUpToDate, scope.mover.database, cluster.id),
  ]
}

/** Others live in the database of a pool, and the tenant must not be in their way. Nothing there is brought up to date for it. */
async function examineShared(
  connections: Connections,
  { scope }: MoveSource,
  { cluster, database, isolation, epoch }: MoveDestination,
  facts: readonly TableFacts[],
): Promise<Finding[]> {
  if (isolation === 'silo') return []
  const address = await moverAddress(cluster, database)
  const examined = await reach(connections, 'target_unreachable', cluster.id, address, async (target) => {
    const outdated = checkFreehold(await isUpToDate(target), database, cluster.id)
    if (outdated.length > 0 || isolation === 'schema') return outdated
    return connections.use(scope.mover, (client) =>
      checkPool({ target, epoch, source: { client, scope, facts } }),
    )
  })
  return examined.facts ?? [examined.refusal]
}

/** An older server may lack what the product is made with, or a value that the tenant has; both are asked, nothing is made. */
async function examineOlder(
  connections: Connections,
  { scope, cluster: from }: MoveSource,
  { cluster: to, isolation }: MoveDestination,
  { server, tables }: SourceFacts,
  target: ServerFacts,
): Promise<Finding[]> {
  const versions = { from: majorOf(server.versionNumber), to: majorOf(target.versionNumber) }
  if (versions.to >= versions.from) return []
  const examined = await reach(connections, 'source_unreachable', from.id, scope.mover, async (source) => ({
    // A pool has tables of its own, which need not be made in the same way.
    uses: isolation === 'pool' ? [] : await readRoutineUses(source, scope.schema),
    infinite: holdsInfinity(versions.from, versions.to)
      ? await infiniteIntervals(source, scope, tenantTables(tables, scope.schema))
      : [],
  }))
  if (examined.facts === undefined) return [examined.refusal]
  const { uses, infinite } = examined.facts
  const routines = [...new Set(uses.flatMap(({ routine }) => routine ?? []))]
  const maintenance = await ownerAddress(to, MAINTENANCE_DATABASE)
  const missing = await reach(connections, 'target_unreachable', to.id, maintenance, (client) =>
    missingRoutines(client, routines),
  )
  if (missing.facts === undefined) return [missing.refusal]
  const older = { name: String(to.id), major: versions.to }
  return [...checkRoutines(older, uses, missing.facts, scope.schema), ...checkIntervals(older, infinite)]
}

/** On one server the stream forth still reads the log when the one back has been made, and a verification marks its point beside both. */
function findWayBack(
  { cluster: from, stream }: MoveSource,
  { cluster: to, window }: MoveDestination,
  server: ServerFacts,
): (WayBack & { readonly seconds: number }) | undefined {
  if (window === undefined) return undefined
  const forthToo = from.id === to.id && stream === 'logical' ? 1 : 0
  const name = String(to.id)
  return {
    ...checkWayBack({ name, server }, window.changeStream, REPLICATION_CONNECTIONS + forthToo),
    seconds: window.seconds,
  }
}

function checkEmpty({ cluster, database, isolation }: MoveDestination, facts: ServerFacts): Finding[] {
  if (isolation !== 'silo' || !facts.databaseExists) return []
  const found = `There is a database ${database} on ${cluster.id} already.`
  return [{ code: 'target_not_empty', object: database, found }]
}

function checkBoth(
  { scope, cluster: from, stream }: MoveSource,
  { server, database, traits }: SourceFacts,
  { cluster: to }: MoveDestination,
  target: ServerFacts,
  { estimates, back }: { readonly estimates: MoveEstimates; readonly back: StreamKind | undefined },
): Finding[] {
  const named = <T extends object>({ id, capacityBytes }: ClusterRecord, facts: T) => ({
    ...facts,
    name: String(id),
    capacityBytes,
  })
  return [
    ...checkDatabases(named(from, { server, database }), named(to, { server: target })),
    ...checkVersions(named(from, server), named(to, target), traits, scope.schema),
    ...checkRoles(named(from, server), named(to, target), { forth: stream, back }),
    ...checkRoom(named(from, { server }), named(to, { server: target }), estimates),
  ]
}
