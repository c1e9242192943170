import { setTimeout as sleep } from 'node:timers/promises'
import { allEnded } from '../../all-ended.ts'
import { loadTables } from '../../copy/load-tables.ts'
import type { TablePair } from '../../database/tables.ts'
import { placementOf } from '../../placements/placement-of.ts'
import type { LoadingPlace } from '../../placements/target-placement.ts'
import { CopyMeter } from '../copy-meter.ts'
import { largestFirst } from '../largest-first.ts'
import { type Move, sourceScope } from '../move.ts'
import { moveTables } from '../move-tables.ts'
import { atPace, type Pace } from '../pace.ts'
import { moveReferences } from '../references.ts'
import { targetClaim } from '../take-target.ts'

/**
 * backfill: copies what existed when the stream was created. The snapshot lives in the worker that created it; a
 * worker that takes the move over here begins anew.
 */
export async function backfill(move: Move): Promise<'copied' | 'snapshot_lost'> {
  const { snapshot } = move.session
  if (snapshot === undefined) return 'snapshot_lost'
  const started = performance.now()
  const references = await moveReferences(move)
  const tables = [...references, ...largestFirst(move, await moveTables(move), ({ source }) => source.key)]
  await atPace(move, ['source', 'target'], (pace) =>
    placementOf(move.target.isolation).load(move, (place) =>
      loadAll(move, place, tables, snapshot.snapshot, pace),
    ),
  )
  await move.barrier('backfill.built')
  await snapshot.release()
  delete move.session.snapshot
  move.progress.updateSeconds({ backfill: (performance.now() - started) / 1000 })
  return 'copied'
}

/** Copies the tables, the first of them first, and builds what belongs to them. */
async function loadAll(
  move: Move,
  place: LoadingPlace,
  tables: readonly TablePair[],
  snapshot: string,
  pace: Pace,
): Promise<void> {
  const meter = new CopyMeter(move.progress)
  const uncopied = new Set(tables)
  const load = loadTables({
    ...place,
    ends: { source: sourceScope(move), snapshot, claim: targetClaim(move) },
    tables,
    streams: move.settings.copyStreams,
    pace,
    signal: move.signal,
    onRows: (pair, copied) => meter.passed(pair, copied),
    onCopied: async (pair, { rows, bytes }) => {
      meter.finished(pair, rows, bytes)
      uncopied.delete(pair)
      await move.barrier('backfill.table_copied')
      if (uncopied.size === 0) await move.barrier('backfill.copied')
    },
  })
  const shown = move.connections.use(place.into.address, (target) =>
    showWhile(load, () => meter.sample(target, tables)),
  )
  // What cannot be shown is copied all the same.
  await allEnded([load, shown.catch(() => undefined)])
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
}
