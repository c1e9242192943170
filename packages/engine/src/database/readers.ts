import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError } from '@freehold/contract'
import type { ClientBase } from 'pg'

const READERS_TIMEOUT_MS = 30_000
/** Most are over in a moment. */
const FIRST_POLL_MS = 5
const POLL_MS = 100

/**
 * Transactions that entered before the switch may still read, and are not to see the rows vanish.
 *
 * @throws FreeholdError `source_busy` while one of them is open: to be tried again later.
 */
export async function awaitReaders(client: ClientBase, signal: AbortSignal): Promise<void> {
  const started = await client.query<{ now: Date }>('select clock_timestamp() as now')
  const deadline = performance.now() + READERS_TIMEOUT_MS
  for (let waitMs = FIRST_POLL_MS; ; waitMs = Math.min(waitMs * 2, POLL_MS)) {
    signal.throwIfAborted()
    const reading = await client.query(
      `select from pg_stat_activity
       where datname = current_database() and usename = 'freehold_app' and xact_start < $1 limit 1`,
      [started.rows[0]?.now],
    )
    if (reading.rowCount === 0) return
    if (performance.now() > deadline) {
      throw new FreeholdError(
        'source_busy',
        'A transaction from before the switch is still open where the tenant was; what is there waits for it.',
      )
    }
    await sleep(waitMs)
  }
}
