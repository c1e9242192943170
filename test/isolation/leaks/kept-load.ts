import { randomUUID } from 'node:crypto'
import { type DatabaseAddress, withClient } from '@freehold/postgres'
import { type Kysely, sql } from 'kysely'

export interface Shop {
  customers: { id: string; email: string; name: string }
  orders: { customer_id: string; currency: string; total: number; reference: string }
}

/** What became of the load. */
export interface KeptLoad {
  /** Statements, transactions and streams that came to their end, by kind. */
  readonly done: ReadonlyMap<string, number>
  /** Everything that failed, and every answer that was not right. */
  readonly wrong: readonly string[]
  /** Settles when every kind has come to its end this often since it was asked. */
  progress(times: number): Promise<void>
  stop(): Promise<void>
  /** Compares what was acknowledged with all that the load has in a database. @returns what differs. */
  differences(home: DatabaseAddress): Promise<string[]>
}

/** Works with one Kysely instance in every way that there is, in loops that run at once, and keeps account. */
export function startKeptLoad(db: Kysely<Shop>, fewestCustomers: number): KeptLoad {
  /** What each row must be called; null: it was deleted. */
  const ledger = new Map<string, string | null>()
  const done = new Map<string, number>()
  const wrong: string[] = []
  const watchers = new Set<() => void>()
  let stopping = false

  const insert = (on: Kysely<Shop>, id: string, name: string) =>
    on
      .insertInto('customers')
      .values({ id, name, email: `${id}@kept.test` })
      .execute()
  const readBack = async (on: Kysely<Shop>, id: string, expected: string | null) => {
    const row = await on.selectFrom('customers').select('name').where('id', '=', id).executeTakeFirst()
    if ((row?.name ?? null) !== expected) wrong.push(`${id} is ${row?.name}, and not ${expected}`)
  }

  const kinds: Record<string, (round: string) => Promise<void>> = {
    async statements(round) {
      const id = randomUUID()
      await insert(db, id, round)
      ledger.set(id, round)
      await readBack(db, id, round)
      await db
        .updateTable('customers')
        .set({ name: `${round} again` })
        .where('id', '=', id)
        .execute()
      ledger.set(id, `${round} again`)
      await readBack(db, id, `${round} again`)
    },
    async raw(round) {
      const id = randomUUID()
      await sql`insert into customers (id, name, email) values (${id}, ${round}, ${`${id}@kept.test`})`.execute(
        db,
      )
      ledger.set(id, round)
      const { rows } = await sql<{ name: string }>`
        delete from customers where id = ${id} returning name`.execute(db)
      if (rows[0]?.name !== round) wrong.push(`${id} was not there to be deleted`)
      ledger.set(id, null)
      await readBack(db, id, null)
    },
    async transactions(round) {
      const [kept, twin] = [randomUUID(), randomUUID()]
      await db.transaction().execute(async (trx) => {
        await insert(trx, kept, round)
        await insert(trx, twin, round)
        await trx.deleteFrom('customers').where('id', '=', kept).execute()
        await readBack(trx, twin, round)
      })
      ledger.set(kept, null).set(twin, round)
    },
    async snapshots(round) {
      const id = randomUUID()
      await db
        .transaction()
        .setIsolationLevel('repeatable read')
        .execute((trx) => insert(trx, id, round))
      ledger.set(id, round)
    },
    async savepoints(round) {
      const [kept, undone] = [randomUUID(), randomUUID()]
      const trx = await db.startTransaction().execute()
      try {
        await insert(trx, kept, round)
        const after = await trx.savepoint('here').execute()
        await insert(after, undone, round)
        const back = await after.rollbackToSavepoint('here').execute()
        await back.commit().execute()
        ledger.set(kept, round).set(undone, null)
      } catch (error) {
        await trx
          .rollback()
          .execute()
          .catch(() => undefined)
        throw error
      }
    },
    async 'bound connections'(round) {
      await db.connection().execute(async (bound) => {
        const id = randomUUID()
        await insert(bound, id, round)
        ledger.set(id, round)
        await readBack(bound, id, round)
      })
    },
    async streams() {
      const ids = new Set<string>()
      let rows = 0
      for await (const { id } of db.selectFrom('customers').select('id').stream(40)) {
        ids.add(id)
        rows++
      }
      if (rows < fewestCustomers || ids.size !== rows)
        wrong.push(`streamed ${rows} rows of ${ids.size} customers`)
    },
    async orders(round) {
      const { id } = await db
        .selectFrom('customers')
        .select('id')
        .where('email', 'like', '%@example.test')
        .limit(1)
        .executeTakeFirstOrThrow()
      const order = { customer_id: id, currency: 'EUR', total: 0, reference: round }
      await db.insertInto('orders').values(order).execute()
    },
  }

  const running = Object.entries(kinds).map(async ([kind, work]) => {
    for (let round = 0; !stopping; round++) {
      try {
        await work(`${kind} ${round}`)
        done.set(kind, (done.get(kind) ?? 0) + 1)
      } catch (error) {
        wrong.push(`${kind} ${round}: ${error}`)
      }
      for (const watcher of watchers) watcher()
    }
  })

  return {
    done,
    wrong,
    progress(times) {
      const before = new Map(done)
      const enough = (kind: string) => (done.get(kind) ?? 0) >= (before.get(kind) ?? 0) + times
      return new Promise((resolve) => {
        const watcher = () => {
          if (wrong.length === 0 && !Object.keys(kinds).every(enough)) return
          watchers.delete(watcher)
          resolve()
        }
        watchers.add(watcher)
      })
    },
    async stop() {
      stopping = true
      await Promise.all(running)
    },
    differences: (home) => compare(home, ledger, done.get('orders') ?? 0),
  }
}

async function compare(
  home: DatabaseAddress,
  ledger: ReadonlyMap<string, string | null>,
  orders: number,
): Promise<string[]> {
  return withClient(home, 'test', async (client) => {
    const found = await client.query<{ id: string; name: string }>(
      `select id, name from customers where email like '%@kept.test'`,
    )
    const rows = new Map(found.rows.map(({ id, name }) => [id, name]))
    const placed = await client.query<{ n: number }>(
      `select count(*)::integer as n from orders where reference like 'orders %'`,
    )
    const differences = [...ledger].filter(([id, name]) => (rows.get(id) ?? null) !== name)
    const unknown = [...rows.keys()].filter((id) => !ledger.has(id))
    return [
      ...differences.map(([id, name]) => `${id}: acknowledged ${name}, found ${rows.get(id)}`),
      ...unknown.map((id) => `${id}: found and never acknowledged`),
      ...(placed.rows[0]?.n === orders ? [] : [`${orders} orders acknowledged, found ${placed.rows[0]?.n}`]),
    ]
  })
}
