import { setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '@freehold/postgres'
import type pg from 'pg'
import { loadTables } from '../../copy/load-tables.ts'
import { useExactText } from '../../database/exact-text.ts'
import { bareTables } from '../../database/structure.ts'
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
    await useExactText(owner)
    await loadAll(move, owner, tables, snapshot.snapshot)
  })
  await snapshot.release()
  delete move.session.snapshot
  move.progress.updateSeconds({ backfill: (performance.now() - started) / 1000 })
  return 'copied'
}

/** Copies the tables, the largest first, and builds what belongs to them. */
async function loadAll(
  move: Move,
  owner: pg.Client,
  tables: readonly TablePair[],
  snapshot: string,
): Promise<void> {
  const meter = new CopyMeter(move.progress)
  const uncopied = new Set(tables)
  const load = loadTables({
    ends: {
      source: sourceScope(move),
      snapshot,
      target: move.target.owner,
      claim: targetClaim(move),
    },
    tables: [...tables].sort((a, b) => rowsOf(move, b) - rowsOf(move, a)),
    parts: await bareTables(owner, move.target.schema),
    streams: move.settings.copyStreams,
    signal: move.signal,
    onCopied: async (pair, { rows, bytes }) => {
      meter.finished(pair, rows, bytes)
      uncopied.delete(pair)
      await move.barrier('backfill.table_copied')
      if (uncopied.size === 0) await move.barrier('backfill.copied')
    },
  })
  await showWhile(load, () => meter.sample(owner, tables))
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
