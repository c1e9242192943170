import { hasSqlState, SQLSTATE, sendTogether, tenantLock } from '@freehold/postgres'
import { verificationFailed } from '../../database/checksum.ts'
import { schemaFingerprint } from '../../database/schema-fingerprint.ts'
import { alignSequences } from '../../database/sequences.ts'
import {
  describeUnenteredWriter,
  findUnenteredWriter,
  type UnenteredWriter,
} from '../../database/unentered-writers.ts'
import { runningApplier } from '../applier-session.ts'
import { noteCalledOff } from '../call-off.ts'
import { compareRows } from '../compare.ts'
import type { Move } from '../move.ts'
import { moveSequences } from '../move-sequences.ts'
import { mayRepair } from '../repair.ts'
import type { ReadySwitch } from './session.ts'

/**
 * Waits for the tenant's writers at the source, brings the target to the same point, and compares. What the session with the lock is
 * asked goes out together: the server does one after the other, and its answers are not waited for in between.
 *
 * @returns false when a writer does not end, the tables of either side are not what they were when they were verified, reference
 * tables may have changed, or more rows have changed since than can be remembered, or some differ that may be repaired: to be verified
 * again.
 */
export async function drain(attempt: ReadySwitch, deadline: number): Promise<boolean> {
  const { move, source, target, lockHolder, references } = attempt
  const applier = await runningApplier(move)
  const sequences = await moveSequences(move)
  const timeoutMs = Math.min(
    Math.max(1, Math.floor(deadline - performance.now())),
    move.settings.fenceExpiryMs,
  )
  const drainAndCompare = async (lockedOut: Promise<boolean>) => {
    await applier.drain(timeoutMs, lockHolder)
    if (!(await lockedOut)) return undefined
    const changed = applier.changedRows()
    return changed && compareRows(source, target, changed)
  }
  // Asked when none of the tenant's writers is left: what these have used was there before.
  const referencesAreHeld = async (lockedOut: Promise<boolean>) => (await lockedOut) && references.lasts()
  // In this order: the marker goes its way through the log while the rest is looked for.
  const { lockedOut, looks } = sendTogether(lockHolder, () => {
    const lockedOut = lockWritersOut(attempt)
    const looks = Promise.all([
      drainAndCompare(lockedOut),
      schemaFingerprint(lockHolder, move.source.schema),
      schemaFingerprint(target.client, move.target.schema),
      referencesAreHeld(lockedOut),
      alignSequences(lockHolder, target.client, sequences),
    ])
    return { lockedOut, looks }
  })
  // Without the lock nobody waits for them, and writers do not either.
  looks.catch(() => undefined)
  if (!(await lockedOut)) return false
  const [different, atSource, atTarget, areHeld] = await looks
  const [first] = different ?? []
  // Under the fence nothing is repaired: writers would wait for it.
  const isRepairable = first !== undefined && mayRepair(move)
  const { verifiedSchemas: verified } = move.session
  const isAsVerified = atSource === verified?.source && atTarget === verified.target
  if (different === undefined || !isAsVerified || isRepairable) {
    delete move.session.verifiedBy
    noteCalledOff(move, 'The verification has to be repeated.')
    return false
  }
  if (first !== undefined) throw verificationFailed(first)
  if (!areHeld) noteCalledOff(move, 'The lock that kept reference tables of the source as they were is lost.')
  return areHeld
}

/**
 * @returns whether every transaction of the tenant at the source has ended, and none can begin; and nobody writes to its tables who
 * has not entered, and whom neither fence nor lock keep out.
 */
async function lockWritersOut({ move, lockHolder, relations }: ReadySwitch): Promise<boolean> {
  try {
    // Sent together, and looked for when the lock is got: who writes from here on commits after the marker, or is seen at the seal.
    const [, writer] = await Promise.all([
      tenantLock.acquireExclusive(lockHolder, move.operation.tenantId, {
        timeoutMs: move.settings.lockTimeoutMs,
        idleMs: move.settings.fenceExpiryMs,
      }),
      findUnenteredWriter(lockHolder, relations),
    ])
    return !isHeldUp(move, writer)
  } catch (error) {
    if (!hasSqlState(error, SQLSTATE.lockNotAvailable)) throw error
    noteCalledOff(
      move,
      `A transaction of the tenant was open for more than ${move.settings.lockTimeoutMs} ms.`,
    )
    return false
  }
}

/** Writers that do not enter are waited for like long ones, before the next attempt; the timeline says for whom. */
export function isHeldUp(move: Move, writer: UnenteredWriter | undefined): boolean {
  if (writer === undefined) return false
  noteCalledOff(move, describeUnenteredWriter(writer))
  return true
}
