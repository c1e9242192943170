import { pipeline } from 'node:stream/promises'
import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { z } from 'zod'
import { allEnded } from '../all-ended.ts'
import { asTenant, type TenantScope } from '../database/entered.ts'
import { holdTarget } from '../database/target-claim.ts'
import { type RowBatch, RowBatches } from './row-batches.ts'
import type { IncomingRows, RowSink } from './row-sink.ts'

/** What a session has room for outside of files (`STAGING_MEMORY`), and what those who watch the copy can wait for. */
const BATCH_LIMITS = { bytes: 4 * 1024 * 1024, ms: 1_000 }
/** For what a batch takes as a table: narrow rows take three times the room that they have in a COPY. */
const STAGING_MEMORY = '16MB'

/**
 * Into shared tables, as the tenant: whatever goes wrong, no other tenant's row is touched. PostgreSQL has no COPY through row
 * security, so rows wait in a temporary table that ends with the transaction, and are inserted from there. Two connections do
 * that with a batch each in turn: one inserts while the other takes rows from the source. Triggers and foreign keys have had
 * their effect where the rows come from.
 *
 * Each batch is a transaction. Half a table does no harm: nobody can enter the tenant, and a copy that begins anew removes its rows first.
 * One transaction for all of it would keep the others' dead rows from being removed for as long as the copy takes.
 */
export function stagedSink(scope: TenantScope): RowSink {
  return {
    address: scope.mover,
    writers: 2,
    async take(writers, incoming) {
      await Promise.all(writers.map((writer) => writer.query(`set temp_buffers = '${STAGING_MEMORY}'`)))
      let rows = 0
      await incoming.pour(async (chunks) => {
        const batches = new RowBatches(chunks, incoming.format, BATCH_LIMITS)
        await inTurns(writers, batches, async (writer, batch) => {
          const inserted = await insertBatch(writer, scope, incoming, batch)
          rows += inserted
          incoming.onRows({ rows: inserted, bytes: await batch.read })
        })
      })
      return rows
    },
  }
}

/** Each writer takes a batch in turn, as soon as that of the writer before it has been read. */
async function inTurns(
  writers: readonly pg.Client[],
  batches: RowBatches,
  work: (writer: pg.Client, batch: RowBatch) => Promise<void>,
): Promise<void> {
  const atWork = new Map<pg.Client, Promise<void>>()
  try {
    for (let turn = 0; ; turn++) {
      const writer = writers[turn % writers.length]
      const batch = await batches.next()
      if (batch === undefined || writer === undefined) return
      await atWork.get(writer)
      const working = work(writer, batch)
      atWork.set(writer, working)
      // A batch whose writer has failed is never read to its end, and the next would begin in the middle of a row.
      await Promise.race([working, batch.read])
    }
  } finally {
    await allEnded([...atWork.values()])
  }
}

async function insertBatch(
  writer: pg.Client,
  scope: TenantScope,
  { table, columns, format, claim }: IncomingRows,
  batch: RowBatch,
): Promise<number> {
  const into = quoteTable(table.table)
  const names = columns.map(quoteIdentifier).join(', ')
  return asTenant(writer, scope, async () => {
    await holdTarget(writer, claim)
    await writer.query("set local session_replication_role = 'replica'")
    const made = await writer.query('select staged from freehold.stage_rows($1::regclass, $2::text[])', [
      into,
      columns,
    ])
    const { staged } = z.object({ staged: z.string() }).parse(made.rows[0])
    await pipeline(batch.chunks, writer.query(copyFrom(`copy ${staged} from stdin (format ${format})`)))
    const inserted = await writer.query(
      `insert into ${into} (${names}) overriding system value select ${names} from ${staged}`,
    )
    return inserted.rowCount ?? 0
  })
}
