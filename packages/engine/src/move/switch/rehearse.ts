import { setTimeout as sleep } from 'node:timers/promises'
import { rehearseMarks } from '../../database/resident.ts'
import { schemaFingerprint } from '../../database/schema-fingerprint.ts'
import { alignSequences } from '../../database/sequences.ts'
import { findUnenteredWriter } from '../../database/unentered-writers.ts'
import { runningApplier } from '../applier-session.ts'
import { behind, isCloseBehind, noteCalledOff } from '../call-off.ts'
import { compareRows } from '../compare.ts'
import type { Move } from '../move.ts'
import { moveSequences } from '../move-sequences.ts'
import { awaitRouters } from '../tell-routers.ts'
import { isHeldUp } from './drain.ts'
import { homeSwitch, type ReadySwitch, streamBack } from './session.ts'

/** Each compares what has changed during the one before. */
const MIN_REHEARSALS = 3
/** One that takes no longer is quick: what follows the fence will be. */
const QUICK_MS = 10
/** How long to rehearse for a quick one, while routers connect to the target. */
const PATIENCE_MS = 200
/** Between rehearsals, which keep both machines busy themselves: what has piled up behind one is not to stand before the fence. */
const BREATH_MS = 15

/**
 * Does what writers would have to wait for once before they do: all rows but those that change now are compared, and
 * connections and caches are warm, and the machines are not busy with routers that connect to the target. From the last of it on
 * nobody can change the reference tables of the source.
 *
 * @returns false when the target is too far behind, too many rows have changed to be remembered, reference tables have changed
 * or are written to, or somebody writes who does not enter.
 */
export async function rehearse(attempt: ReadySwitch): Promise<boolean> {
  const { move, source, lockHolder, target, relations, references } = attempt
  const { fenceExpiryMs: idleMs } = move.settings
  await awaitRouters(move)
  const sealing = { client: lockHolder, relations }
  const { lease, operation } = move
  const back = streamBack(move)
  await rehearseMarks(source.client, sealing, target.client, {
    tenantId: operation.tenantId,
    lease,
    idleMs,
    back,
  })
  await move.catalog.placements.rehearseSwitch(homeSwitch(attempt))
  if (isHeldUp(move, await findUnenteredWriter(lockHolder, relations))) return calledOffInRehearsal(move)
  await Promise.all([
    schemaFingerprint(lockHolder, move.source.schema),
    schemaFingerprint(target.client, move.target.schema),
  ])
  await alignSequences(lockHolder, target.client, await moveSequences(move))
  if (!(await rehearseRows(attempt, MIN_REHEARSALS))) return false
  if (!references.isNeeded) return true
  const obstacle = await references.begin()
  if (obstacle !== undefined) {
    noteCalledOff(move, obstacle.reason, obstacle.code)
    return calledOffInRehearsal(move)
  }
  // What has piled up meanwhile.
  return rehearseRows(attempt, 1)
}

/** Compares the rows that have changed, so many times at least. @returns as {@link rehearse} does. */
async function rehearseRows({ move, source, target }: ReadySwitch, atLeast: number): Promise<boolean> {
  const { maxLagMs } = move.settings
  const applier = await runningApplier(move)
  const begun = performance.now()
  for (let rehearsal = 1, tookMs = Number.POSITIVE_INFINITY; ; rehearsal++) {
    const isQuick = tookMs <= QUICK_MS || performance.now() - begun > PATIENCE_MS
    if (rehearsal > atLeast && isQuick) return true
    const started = performance.now()
    if (!(await isCloseBehind(applier, maxLagMs))) {
      noteCalledOff(move, behind(maxLagMs))
      return calledOffInRehearsal(move)
    }
    const changed = applier.takeChangedRows()
    if (changed === undefined) return false
    applier.giveBack(await compareRows(source, target, changed))
    tookMs = performance.now() - started
    await sleep(BREATH_MS)
  }
}

function calledOffInRehearsal(move: Move): false {
  move.state = { ...move.state, rehearsalsCalledOff: move.state.rehearsalsCalledOff + 1 }
  return false
}
