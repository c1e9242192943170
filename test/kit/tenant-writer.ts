import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRouteSource } from '@freehold/catalog'
import type { Tenant } from '@freehold/contract'
import { type DatabaseAddress, quoteIdentifier, withClient } from '@freehold/postgres'
import { createRouter, type Router } from '@freehold/tenancy'
import { Random } from '../load/seed/random.ts'
import { TEST_ENTRY_SECRET } from './moving-ground.ts'
import { patiently } from './patiently.ts'

/** What each row may be: its name, or null for none. Several after a write of which it is not known whether it was done. */
export type Ledger = Map<string, readonly (string | null)[]>

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
  /** For another writer of the tenant that goes on where this one has stopped. */
  readonly ledger: Ledger
  /** Compares every acknowledged write with what stands in the tenant's home now. @returns what differs. */
  differences(home: DatabaseAddress, schema?: string): Promise<string[]>
}

/** How a benchmark has a tenant written, and what it hears of it. */
export interface WriterPace {
  /** Over all clients, evenly spread, {@link WRITES_PER_SECOND} unless told otherwise; Infinity: as fast as the answers come. */
  readonly writesPerSecond?: number
  /** Called at every acknowledgement with the time at which the write was sent, as `performance.now()` tells it. */
  readonly acknowledged?: (sentAt: number) => void
  /** What an earlier writer of the tenant has written. */
  readonly ledger?: Ledger
  /** Where the writer finds a database that the catalog has at another address: behind a proxy, say. */
  readonly reach?: (address: DatabaseAddress) => DatabaseAddress
  /** Decides what each client writes, one after the other. */
  readonly seed?: number
}

/** Enough for a write at every step of a switch. More would take the processor from what is written during. */
const WRITES_PER_SECOND = 100
/** How long a client waits after a request that failed, ms. */
const BREATHER_MS = 20

/**
 * Writes to one tenant through a router of its own, at a given pace or as fast as the answers come, from several
 * clients at once, and remembers every acknowledged write: inserts, updates, deletes, and transactions of several
 * statements, as its seed has it, some of them of values that are stored out of line. What became of a row is not known for
 * certain when a write has failed; nothing more is built on it.
 */
export function startTenantWriter(
  reader: DatabaseAddress,
  tenant: Tenant,
  clients = 4,
  pace: WriterPace = {},
) {
  const intervalMs = (1_000 * clients) / (pace.writesPerSecond ?? WRITES_PER_SECOND)
  const source = createRouteSource({ address: reader, applicationName: 'test-writer' })
  const { reach = (address) => address, seed = 1 } = pace
  const router: Router<Tables> = createRouter<Tables>({
    source: {
      subscribe: (listener) => source.subscribe(listener),
      async lookup(tenantId) {
        const route = await source.lookup(tenantId)
        return route === null ? null : { ...route, address: reach(route.address) }
      },
      async comingHome(tenantId) {
        const coming = await source.comingHome(tenantId)
        return coming === null ? null : { ...coming, address: reach(coming.address) }
      },
    },
    entrySecret: TEST_ENTRY_SECRET,
    // What a harness looks at while a tenant is switched takes its time on a slow machine.
    holdDeadlineMs: 60_000,
  })
  const db = router.forTenant(tenant.id)
  const ledger: Ledger = new Map(pace.ledger)
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
      for (const [id, name] of expected) ledger.set(id, [name])
      const now = performance.now()
      longestPauseMs = Math.max(longestPauseMs, now - lastAcknowledged)
      lastAcknowledged = now
      acknowledged++
      pace.acknowledged?.(sentAt)
      return true
    } catch (error) {
      failures.push(String(error))
      for (const [id, name] of expected) ledger.set(id, [...(ledger.get(id) ?? [null]), name])
      await sleep(BREATHER_MS)
      return false
    }
  }
  const insert = (id: string, name: string) => ({ id, name, email: `${id}@writer.test` })

  const client = async (number: number) => {
    const turn = turns(intervalMs, (number / clients) * intervalMs)
    const random = new Random(seed, number)
    /** Rows of this client, of which it is known what is in them. */
    const own: string[] = []
    for (let round = 0; !stopping; round++) {
      const outOfLine = random.chance(0.05) ? randomBytes(2_000).toString('hex') : ''
      const name = `writer ${number} round ${round} ${outOfLine}`
      const [id, twin] = [randomUUID(), randomUUID()]
      const known = own.length < 2 ? undefined : own.splice(random.below(own.length), 1)[0]
      if (known === undefined || random.chance(0.3)) {
        const done = await write(turn, [[id, name]], () =>
          db.insertInto('customers').values(insert(id, name)).execute(),
        )
        if (done) own.push(id)
        if (known !== undefined) own.push(known)
      } else if (random.chance(0.5)) {
        const done = await write(turn, [[known, name]], () =>
          db.updateTable('customers').set({ name }).where('id', '=', known).execute(),
        )
        if (done) own.push(known)
      } else {
        const written: [string, string | null][] = [
          [known, null],
          [twin, name],
        ]
        const done = await write(turn, written, () =>
          db.transaction().execute(async (trx) => {
            await trx.deleteFrom('customers').where('id', '=', known).execute()
            await trx.insertInto('customers').values(insert(twin, name)).execute()
          }),
        )
        if (done) own.push(twin)
      }
    }
  }
  const running = Array.from({ length: clients }, (_, number) => client(number))

  return {
    /** Waits until another write is acknowledged. */
    async goesOn(timeoutMs: number): Promise<boolean> {
      const before = acknowledged
      const deadline = performance.now() + timeoutMs
      while (acknowledged === before && performance.now() < deadline) await sleep(BREATHER_MS)
      return acknowledged > before
    },
    async stop(): Promise<WriterReport> {
      stopping = true
      await Promise.all(running)
      longestPauseMs = Math.max(longestPauseMs, performance.now() - lastAcknowledged)
      await router.close()
      await source.close()
      return {
        acknowledged,
        failures,
        longestPauseMs,
        ledger,
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
  ledger: Ledger,
): Promise<string[]> {
  return patiently(() =>
    withClient(home, 'test', async (client) => {
      const found = await client.query<{ id: string; name: string }>(
        `select id, name from ${quoteIdentifier(schema)}.customers
       where tenant_id = $1 and email like '%@writer.test'`,
        [tenant.id],
      )
      const rows = new Map(found.rows.map((row) => [row.id, row.name]))
      const wrong = [...ledger].filter(([id, names]) => !names.includes(rows.get(id) ?? null))
      const unknown = [...rows.keys()].filter((id) => !ledger.has(id))
      return [
        ...wrong.map(([id, names]) => `${id}: acknowledged ${names.join(' or ')}, found ${rows.get(id)}`),
        ...unknown.map((id) => `${id}: found and never acknowledged`),
      ]
    }),
  )
}
