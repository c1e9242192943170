import { FreeholdError } from '@freehold/contract'
import type { Applier } from '../stream/change-stream.ts'

/**
 * So long nothing comes forward before it is told: a server may take long to read a transaction of which little or nothing is
 * the tenant's.
 */
const STALLED_MS = 600_000

/**
 * Waits until the target has what the source has now. However long a single transaction takes, it is waited for: cut off, it
 * would be applied from its beginning again, and never be done.
 *
 * @param mayStop asked after every `turnMs` whether the rest may be left to another worker.
 * @throws FreeholdError `source_busy` when nothing has come forward for ten minutes.
 */
export async function catchUp(
  applier: Applier,
  { turnMs, mayStop }: { readonly turnMs: number; readonly mayStop: () => boolean | Promise<boolean> },
): Promise<void> {
  let forward = { steps: applier.steps, at: performance.now() }
  while (!(await drained(applier, turnMs))) {
    if (await mayStop()) return
    if (applier.steps !== forward.steps) forward = { steps: applier.steps, at: performance.now() }
    else if (performance.now() - forward.at > STALLED_MS) {
      throw new FreeholdError(
        'source_busy',
        `The change stream has not come forward for ${STALLED_MS / 1000} s; pg_stat_activity of either side shows what holds it up.`,
      )
    }
  }
}

async function drained(applier: Applier, timeoutMs: number): Promise<boolean> {
  try {
    await applier.drain(timeoutMs)
    return true
  } catch (error) {
    if (error instanceof DOMException && error.name === 'TimeoutError') return false
    throw error
  }
}
