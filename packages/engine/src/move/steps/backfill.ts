import { setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '@freehold/postgres'
import type pg from 'pg'
import { copyTable } from '../../copy/copy-table.ts'
import { bareTables, restoreTables } from '../../database/structure.ts'
import type { TablePair } from '../../database/tables.ts'
import { claimTarget, targetWriters } from '../../database/target-claim.ts'
import { moveTables, targetClaim } from '../applier-session.ts'
import { CopyMeter } from '../copy-meter.ts'
import { type Move, sourceScope } from '../move.ts'

/**
 * backfill: copies what existed when the stream was created. The snapshot lives in the worker that created it; a
 * worker that takes the move over here begins anew.
 */
export async function backfill(move: Move): Promise<'copied' | 'snapshot_lost'> {
  const { snapshot } = move.session
  if (snapshot === undefined) return 'snapshot_lost'
  const started = performance.now()
  const tables = await moveTables(move)
  await withClient(move.target.owner, targetWriters(move.names.stream).copy, async (owner) => {
    await claimTarget(owner, targetClaim(move))
    const restore = await bareTables(owner, move.target.schema)
    await copyTables(move, owner, tables, snapshot.snapshot)
    await move.barrier('backfill.copied')
    await restoreTables(owner, move.target.schema, restore)
  })
  await snapshot.release()
  delete move.session.snapshot
  move.progress.updateSeconds({ backfill: (performance.now() - started) / 1000 })
  return 'copied'
}

/** Copies the tables, largest first, several at a time. */
async function copyTables(
  move: Move,
  owner: pg.Client,
  tables: readonly TablePair[],
  snapshot: string,
): Promise<void> {
  const meter = new CopyMeter(move.progress)
  const failed = new AbortController()
  const signal = AbortSignal.any([move.signal, failed.signal])
  const waiting = [...tables].sort((a, b) => rowsOf(move, b) - rowsOf(move, a))
  const copyWaiting = async () => {
    for (let pair = waiting.shift(); pair !== undefined; pair = waiting.shift()) {
      signal.throwIfAborted()
      const copied = await copyTable({
        tables: pair,
        source: sourceScope(move),
        snapshot,
        target: move.target.owner,
        claim: targetClaim(move),
        signal,
      })
      meter.finished(pair, copied.rows, copied.bytes)
      await move.barrier('backfill.table_copied')
    }
  }
  const copies = Promise.all(
    Array.from({ length: move.settings.copyStreams }, () =>
      copyWaiting().catch((error) => {
        failed.abort(error)
        throw error
      }),
    ),
  )
  await showWhile(copies, () => meter.sample(owner, tables))
}

function rowsOf(move: Move, { source }: TablePair): number {
  return move.progress.current.tables.find(({ table }) => table === source.key)?.rowsEstimated ?? 0
}

/** Takes a sample five times a second until the work has ended. */
async function showWhile(work: Promise<unknown>, sample: () => Promise<void>): Promise<void> {
  const ended = new AbortController()
  const end = () => ended.abort()
  work.then(end, end)
  while (!ended.signal.aborted) {
    await sample()
    await sleep(200, undefined, { signal: ended.signal }).catch(() => undefined)
  }
  await work
}
