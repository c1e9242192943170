import { type LedgerEntry, ownerAddress } from '@freehold/catalog'
import { FreeholdError, type Isolation } from '@freehold/contract'
import { hasSqlState, inTransaction, quoteTable, SQLSTATE, withClient } from '@freehold/postgres'
import type pg from 'pg'
import { allEnded } from '../../all-ended.ts'
import { asTenant } from '../../database/entered.ts'
import { awaitReaders } from '../../database/readers.ts'
import { readResident, stopExpecting } from '../../database/resident.ts'
import { analyzePartitioned } from '../../database/structure.ts'
import { readTables, type TableShape } from '../../database/tables.ts'
import { forgetTarget, holdTarget } from '../../database/target-claim.ts'
import { placementOf } from '../../placements/placement-of.ts'
import { dropDatabase, MAINTENANCE_DATABASE } from '../../resources/database.ts'
import { releaseResource } from '../../resources/release.ts'
import { hasTenantSchema } from '../../resources/tenant-schema.ts'
import { largestFirst } from '../largest-first.ts'
import { closeSession, type Move, sourceScope } from '../move.ts'
import { atPace, type Pace } from '../pace.ts'
import { sourceClaim, takeSource, targetClaim } from '../take-target.ts'

/**
 * finalize: the tenant lives at the target. Stops the stream, and removes the tenant's rows from the source: as the
 * tenant, in batches, and only once nobody can be reading them.
 */
export async function finalize(move: Move): Promise<'purged'> {
  await closeSession(move)
  // From here on the target belongs to the tenant and not to the move.
  await move.catalog.ledger.release(placementOf(move.target.isolation).entry(move))
  await move.barrier('finalize.given_over')
  await allEnded([
    releaseStreamAndLeave(move),
    move.connections.use(move.target.owner, (owner) => analyzePartitioned(owner, move.target.schema)),
  ])
  await move.barrier('finalize.left')
  await move.connections.use(move.target.mover, (client) => forgetStreams(client, move))
  await move.barrier('finalize.forgotten')
  return 'purged'
}

/** In this order: what is removed from the source is never on its way to the target. */
async function releaseStreamAndLeave(move: Move): Promise<void> {
  await releaseStream(move)
  await move.barrier('finalize.released')
  await leaveSource(move)
}

/**
 * Removes what the tenant has at the source, which it has left for good.
 *
 * @throws FreeholdError `source_busy` while somebody may still be reading there.
 */
export async function leaveSource(move: Move): Promise<void> {
  const { mover, isolation } = move.source
  await unlessGone(() => move.connections.use(mover, (client) => endReturn(client, move)))
  await unlessGone(() => removeFromSource[isolation](move))
  if (isolation === 'silo') return
  await unlessGone(() => move.connections.use(mover, (client) => forgetStreams(client, move)))
}

/** A silo that is gone was dropped by an earlier run of the step; of a pool that is gone nothing is left to be removed. */
async function unlessGone(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!hasSqlState(error, SQLSTATE.invalidCatalogName)) throw error
  }
}

/** How far the move's streams are applied in a database is of no use to anybody any more. */
export async function forgetStreams(client: pg.Client, move: Move): Promise<void> {
  for (const claim of [sourceClaim(move), targetClaim(move)]) await forgetTarget(client, claim)
}

/** The tenant does not come back: nothing is carried to the source any more, and it is known there by its old key. */
async function endReturn(client: pg.Client, move: Move): Promise<void> {
  await takeSource(move, client)
  await inTransaction(client, async () => {
    await holdTarget(client, sourceClaim(move))
    await stopExpecting(client, sourceScope(move))
  })
  await move.barrier('finalize.not_expected')
}

/** What the tenant has at the source goes with its database, with its schema, or row by row. */
const removeFromSource: Record<Isolation, (move: Move) => Promise<void>> = {
  silo: dropSource,
  schema: dropSourceSchema,
  pool: purgeSource,
}

async function purgeSource(move: Move): Promise<void> {
  const tables = await move.connections.use(move.source.mover, async (client) => {
    await requireMovedAway(client, move)
    await awaitReaders(client, move.signal)
    // Whatever else is wrong with a table, or stands beside it: row security shows the tenant's rows and no others.
    return readTables(client, move.source.schema, ({ code }) => code === 'row_security_off')
  })
  await atPace(move, ['source'], async (pace) => {
    // Until nothing is left: what a product's rule does on a delete may put rows into another table.
    do await purgeTables(move, tables, pace)
    while (await hasRows(move, tables))
  })
}

/** Whether the tenant has rows at the source. By the index, past all that is dead: other tenants' rows are not read. */
async function hasRows(move: Move, tables: readonly TableShape[]): Promise<boolean> {
  const somewhere = tables.map(({ table }) => `exists (select from ${quoteTable(table)})`).join(' or ')
  const found = await move.connections.use(move.source.mover, (client) =>
    asTenant(client, sourceScope(move), async () => {
      await client.query('set local enable_seqscan = off; set local enable_indexscan = off')
      return client.query<{ found: boolean }>(`select ${somewhere || 'false'} as found`)
    }),
  )
  return found.rows[0]?.found !== false
}

/** Purges as many tables at the same time as are copied. */
async function purgeTables(move: Move, tables: readonly TableShape[], pace: Pace): Promise<void> {
  const waiting = largestFirst(move, tables, ({ key }) => key)
  const failed = new AbortController()
  const signal = AbortSignal.any([move.signal, failed.signal])
  const purge = async (client: pg.Client) => {
    for (let shape = waiting.shift(); shape !== undefined; shape = waiting.shift())
      await purgeTable(client, move, shape, pace, signal)
  }
  const streams = Array.from({ length: Math.min(move.settings.copyStreams, tables.length) }, () =>
    move.connections.use(move.source.mover, purge).catch((error: unknown) => {
      failed.abort(error)
      throw error
    }),
  )
  await allEnded(streams)
}

/** A silo held this tenant and nobody else. One that is gone was dropped by an earlier run of the step. */
async function dropSource(move: Move): Promise<void> {
  const { cluster, database, mover } = move.source
  await unlessGone(async () => {
    await move.connections.use(mover, async (client) => {
      await requireMovedAway(client, move)
      await awaitReaders(client, move.signal)
    })
    const maintenance = await ownerAddress(cluster, MAINTENANCE_DATABASE)
    await withClient(maintenance, 'freehold-purge', (client) => dropDatabase(client, database))
    await move.barrier('finalize.database_dropped')
  })
  await move.catalog.topology.removeDataDatabase(move.source.dataDatabaseId)
}

/** The schema held this tenant and nobody else. One that is gone was dropped by an earlier run of the step. */
async function dropSourceSchema(move: Move): Promise<void> {
  const { cluster, database, schema, mover } = move.source
  const left = await move.connections.use(mover, async (client) => {
    if (!(await hasTenantSchema(client, schema))) return false
    await requireMovedAway(client, move)
    await awaitReaders(client, move.signal)
    return true
  })
  if (!left) return
  const entry: LedgerEntry = {
    operationId: move.operation.id,
    clusterId: cluster.id,
    kind: 'schema',
    databaseName: database,
    name: schema,
  }
  await move.catalog.ledger.record(move.lease, entry)
  await move.barrier('finalize.schema_recorded')
  await releaseResource(move.catalog, entry, move.connections, () => move.barrier('finalize.schema_dropped'))
}

async function releaseStream(move: Move): Promise<void> {
  for (const entry of await move.catalog.ledger.unreleased({ operationId: move.operation.id })) {
    await releaseResource(move.catalog, entry, move.connections, () => move.barrier('finalize.removed'))
  }
}

/** Deleting is the one step that cannot be repaired: the source itself must say that the tenant has left. */
async function requireMovedAway(client: pg.Client, move: Move): Promise<void> {
  const { tenantId } = move.operation
  const [resident, home] = await Promise.all([
    readResident(client, sourceScope(move)),
    move.catalog.placements.home(tenantId),
  ])
  if (resident?.state === 'moved' && home.epoch > move.source.epoch) return
  throw new FreeholdError(
    'internal',
    'The source does not say that the tenant has moved away; nothing was deleted.',
  )
}

/**
 * Triggers and foreign keys of the product are not to see the rows leave: they exist on, elsewhere. And a row is to be looked up
 * where it is: the server would rather read all rows of the tenant for every batch.
 */
const PURGING = `set local session_replication_role = 'replica';
  set local enable_seqscan = off; set local enable_bitmapscan = off; set local enable_indexscan = off`

/**
 * Looks for the rows once and keeps where they are on the server, batch by batch: a search for every batch would pass by
 * all that is dead already. Where a row was another's may be by then, which row security keeps from being touched.
 */
async function purgeTable(
  client: pg.Client,
  move: Move,
  shape: TableShape,
  pace: Pace,
  signal: AbortSignal,
): Promise<void> {
  const table = quoteTable(shape.table)
  const { purgeBatchRows } = move.settings
  const { gathered, there } = (await liesClose(client, move, shape)) ? AS_RANGE : AS_PLACES
  await asTenant(client, sourceScope(move), async () => {
    // Rows come as they lie; to sort them by batch takes half as long again.
    await client.query('set local enable_sort = off')
    await client.query(
      `declare doomed no scroll cursor with hold for
         select leaf::text, ${gathered}::text as places
         from (select tableoid as leaf, ctid as place, row_number() over () / ${purgeBatchRows} as batch from ${table}) row
         group by leaf, batch`,
    )
  })
  try {
    for (;;) {
      signal.throwIfAborted()
      const found = await client.query<{ leaf: string; places: string }>('fetch doomed')
      const batch = found.rows[0]
      if (batch === undefined) return
      const deleted = await asTenant(client, sourceScope(move), async () => {
        await holdTarget(client, sourceClaim(move))
        await client.query(PURGING)
        return client.query(`delete from ${table} where tableoid = $1 and ctid ${there}`, [
          batch.leaf,
          batch.places,
        ])
      })
      await move.barrier('finalize.batch_purged')
      await pace.pass(deleted.rowCount ?? 0)
    }
  } finally {
    await client.query('close doomed').catch(() => undefined)
  }
}

/** What is kept of a batch, and how its rows are found by that. */
const AS_PLACES = { gathered: 'array_agg(place)', there: '= any ($2::tid[])' }
const AS_RANGE = {
  gathered: 'array[min(place), max(place)]',
  there: 'between ($2::tid[])[1] and ($2::tid[])[2]',
}

/**
 * Whether the tenant has so many of a table's rows that it costs less to read the table from one to the next than to look each of
 * them up: as many as the table has pages. The parts of a partitioned table would all be read for each batch.
 */
async function liesClose(
  client: pg.Client,
  { progress }: Move,
  { key, table }: TableShape,
): Promise<boolean> {
  const rows = progress.current.tables.find((known) => known.table === key)?.rowsCopied ?? 0
  const found = await client.query(
    `select from pg_class where oid = $1::regclass and relkind = 'r' and not relhassubclass
       and pg_relation_size(oid) / current_setting('block_size')::int <= $2`,
    [quoteTable(table), rows],
  )
  return found.rowCount === 1
}
