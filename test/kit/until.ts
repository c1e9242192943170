import { setTimeout as sleep } from 'node:timers/promises'

const PATIENCE_MS = 60_000
const POLL_MS = 5

/** Waits until something has come to be. @param what it is, for whoever reads that it has not. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what = 'it has come to be',
): Promise<void> {
  const begun = performance.now()
  while (!(await condition())) {
    if (performance.now() - begun > PATIENCE_MS) throw new Error(`waited in vain: ${what}`)
    await sleep(POLL_MS)
  }
}
