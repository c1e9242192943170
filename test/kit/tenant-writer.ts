import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRouteSource } from '@freehold/catalog'
import type { Tenant } from '@freehold/contract'
import { type DatabaseAddress, quoteIdentifier, withClient } from '@freehold/postgres'
import { createRouter, type Router } from '@freehold/tenancy'
import { TEST_ENTRY_SECRET } from './moving-ground.ts'

interface Tables {
  customers: { id: string; email: string; name: string }
}

/** What a writer found when it was stopped. */
export interface WriterReport {
  readonly acknowledged: number
  /** Requests that failed; a move must cause none. */
  readonly failures: readonly string[]
  /** The longest time in which no write was acknowledged, in ms. */
  readonly longestPauseMs: number
  /** Compares every acknowledged write with what stands in the tenant's home now. @returns what differs. */
  differences(home: DatabaseAddress, schema?: string): Promise<string[]>
}

/** How a benchmark has a tenant written, and what it hears of it. */
export interface WriterPace {
  /** Over all clients, evenly spread; without it every client writes as fast as it is answered. */
  readonly writesPerSecond?: number
  /** Called at every acknowledgement with the time at which the write was sent, as `performance.now()` tells it. */
  readonly acknowledged?: (sentAt: number) => void
}

/**
 * Writes to one tenant through a router of its own, as fast as the answers come or at a given pace, from several
 * clients at once, and remembers every acknowledged write: inserts, updates, deletes, and transactions of several
 * statements.
 */
export function startTenantWriter(
  reader: DatabaseAddress,
  tenant: Tenant,
  clients = 4,
  pace: WriterPace = {},
) {
  const intervalMs = pace.writesPerSecond === undefined ? 0 : (1_000 * clients) / pace.writesPerSecond
  const source = createRouteSource({ address: reader, applicationName: 'test-writer' })
  const router: Router<Tables> = createRouter<Tables>({
    source,
    entrySecret: TEST_ENTRY_SECRET,
    holdDeadlineMs: 20_000,
  })
  const db = router.forTenant(tenant.id)
  /** What each row must be: its name, or null when it was deleted. */
  const ledger = new Map<string, string | null>()
  const failures: string[] = []
  let acknowledged = 0
  let lastAcknowledged = performance.now()
  let longestPauseMs = 0
  let stopping = false

  const write = async (
    turn: () => Promise<void>,
    expected: readonly (readonly [string, string | null])[],
    work: () => Promise<unknown>,
  ) => {
    await turn()
    const sentAt = performance.now()
    try {
      await work()
      for (const [id, name] of expected) ledger.set(id, name)
      const now = performance.now()
      longestPauseMs = Math.max(longestPauseMs, now - lastAcknowledged)
      lastAcknowledged = now
      acknowledged++
      pace.acknowledged?.(sentAt)
    } catch (error) {
      failures.push(String(error))
    }
  }
  const insert = (id: string, name: string) => ({ id, name, email: `${id}@writer.test` })

  const client = async (number: number) => {
    const turn = turns(intervalMs, (number / clients) * intervalMs)
    for (let round = 0; !stopping; round++) {
      const [id, twin] = [randomUUID(), randomUUID()]
      const name = `writer ${number} round ${round}`
      await write(turn, [[id, name]], () => db.insertInto('customers').values(insert(id, name)).execute())
      await write(turn, [[id, `${name} again`]], () =>
        db
          .updateTable('customers')
          .set({ name: `${name} again` })
          .where('id', '=', id)
          .execute(),
      )
      await write(
        turn,
        [
          [id, null],
          [twin, name],
        ],
        () =>
          db.transaction().execute(async (trx) => {
            await trx.deleteFrom('customers').where('id', '=', id).execute()
            await trx.insertInto('customers').values(insert(twin, name)).execute()
          }),
      )
    }
  }
  const running = Array.from({ length: clients }, (_, number) => client(number))

  return {
    async stop(): Promise<WriterReport> {
      stopping = true
      await Promise.all(running)
      await router.close()
      await source.close()
      return {
        acknowledged,
        failures,
        longestPauseMs,
        differences: (home, schema = 'public') => compare(home, schema, tenant, ledger),
      }
    },
  }
}

/** @returns waits until the next turn, at most one per interval; a turn that nobody could take in time is skipped. */
export function turns(intervalMs: number, phaseMs: number): () => Promise<void> {
  let due = performance.now() + phaseMs
  return async () => {
    const wait = due - performance.now()
    if (wait > 0) await sleep(wait)
    due = Math.max(due + intervalMs, performance.now() - intervalMs)
  }
}

async function compare(
  home: DatabaseAddress,
  schema: string,
  tenant: Tenant,
  ledger: ReadonlyMap<string, string | null>,
): Promise<string[]> {
  return withClient(home, 'test', async (client) => {
    const found = await client.query<{ id: string; name: string }>(
      `select id, name from ${quoteIdentifier(schema)}.customers
       where tenant_id = $1 and email like '%@writer.test'`,
      [tenant.id],
    )
    const rows = new Map(found.rows.map((row) => [row.id, row.name]))
    const wrong = [...ledger].filter(([id, name]) => (rows.get(id) ?? null) !== name)
    const unknown = [...rows.keys()].filter((id) => !ledger.has(id))
    return [
      ...wrong.map(([id, name]) => `${id}: acknowledged ${name}, found ${rows.get(id)}`),
      ...unknown.map((id) => `${id}: found and never acknowledged`),
    ]
  })
}
