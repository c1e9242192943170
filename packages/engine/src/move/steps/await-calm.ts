import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError } from '@freehold/contract'
import { runningApplier } from '../applier-session.ts'
import type { Move } from '../move.ts'

const CATCH_UP_TIMEOUT_MS = 600_000
const BACK_OFF_MS = 100
const MAX_BACK_OFF_MS = 5_000

/**
 * ready: waits until the target is so close behind the source that a cutover will be short. A worker that did not run
 * the verification itself does not know which rows changed since, and has it run again.
 */
export async function awaitCalm(move: Move): Promise<'settled' | 'changes_forgotten'> {
  const { cutoverAttempts } = move.state
  if (cutoverAttempts >= move.settings.maxCutoverAttempts) {
    throw new FreeholdError('cutover_timeout', `Given up after ${cutoverAttempts} attempts to switch.`)
  }
  if (cutoverAttempts > 0) {
    const wait = Math.min(BACK_OFF_MS * 2 ** (cutoverAttempts - 1), MAX_BACK_OFF_MS)
    await sleep(wait * (0.5 + Math.random()), undefined, { signal: move.signal })
  }
  const applier = await runningApplier(move)
  if (move.session.verifiedBy !== applier || applier.changedRows() === undefined) return 'changes_forgotten'
  const deadline = performance.now() + CATCH_UP_TIMEOUT_MS
  for (;;) {
    move.signal.throwIfAborted()
    move.progress.update({
      lagBytes: await applier.lagBytes(),
      changesApplied: applier.changesApplied,
    })
    const lagMs = await applier.drain(CATCH_UP_TIMEOUT_MS)
    if (lagMs <= move.settings.maxLagMs) return 'settled'
    if (performance.now() > deadline) {
      throw new FreeholdError('cutover_timeout', `The change stream still lags by ${Math.round(lagMs)} ms.`)
    }
  }
}
