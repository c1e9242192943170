import { randomUUID } from 'node:crypto'
import { type DatabaseAddress, quoteIdentifier, withClient } from '@freehold/postgres'
import t from 'tap'
import { startPreparedCluster } from '../kit/control-plane.ts'
import { asSuperuser, createDataDatabase } from '../kit/databases.ts'
import { type Document, type Entity, single } from './ledger/document.ts'
import { Ledger } from './ledger/ledger.ts'
import { makeRow } from './ledger/row.ts'
import type { ProofReport } from './proof/proof-report.ts'
import { proveLedger } from './proof/prove-ledger.ts'
import { type SeedPlan, tenantMarker } from './seed/seed-plan.ts'
import { seedTenant } from './seed/seed-tenant.ts'
import { SeededRows } from './seed/seeded-rows.ts'

// The proof is only worth something if it notices: each test plants one fault in a real database.

const server = await startPreparedCluster('proof')
t.teardown(() => server.cluster.remove())

const [anna, bert] = ['aaaaaaaa-0000-4000-8000-000000000001', 'bbbbbbbb-0000-4000-8000-000000000002']
// The same seed, so that both tenants have rows with the same ids.
const plans: Readonly<Record<string, SeedPlan>> = {
  [anna]: { rows: 400, seed: 5 },
  [bert]: { rows: 300, seed: 5 },
}
const loaded = new SeededRows(anna, { rows: 400, seed: 5 })
const marker = tenantMarker(anna)

await createDataDatabase(server.cluster, server.passwords, 'loaded')
for (const [tenantId, plan] of Object.entries(plans)) {
  await seedTenant({ database: asSuperuser(server.cluster, 'loaded'), tenantId, plan })
}

interface Ground {
  readonly database: DatabaseAddress
  readonly ledger: Ledger
  /** Runs SQL on the tenants' database, past row security and triggers. */
  sql(text: string, values?: readonly unknown[]): Promise<void>
  prove(): Promise<ProofReport>
}

let databases = 0

/** A copy of the loaded database and a ledger that knows what was loaded. */
async function ground(): Promise<Ground> {
  const name = `copy_${++databases}`
  await withClient(asSuperuser(server.cluster, 'postgres'), 'test', (client) =>
    client.query(`create database ${quoteIdentifier(name)} template loaded`),
  )
  const database = asSuperuser(server.cluster, name)
  const ledger = new Ledger(Object.entries(plans).map(([id, seed]) => ({ id, seed })))
  return {
    database,
    ledger,
    sql: (text, values = []) =>
      withClient(database, 'test', async (client) => {
        await client.query("set session_replication_role = 'replica'")
        await client.query(text, [...values])
      }),
    prove: () => proveLedger(ledger, { homes: [anna, bert].map((tenantId) => ({ tenantId, database })) }),
  }
}

const stamp = '2026-11-01T10:00:00.123456Z'

const customer = (id: string, name = 'Anna’s customer'): Document =>
  single(
    makeRow('customers', {
      email: `${id}@${marker}.example`,
      name,
      phone: null,
      born_on: null,
      address: null,
      labels: '[]',
      credit_limit: null,
      newsletter: 'false',
      created_at: stamp,
      updated_at: stamp,
    }),
  )

const insertCustomer = `insert into customers (tenant_id, id, email, name, created_at, updated_at)
  values ('${anna}', $1::uuid, $1::uuid || '@${marker}.example', $2, '${stamp}', '${stamp}')`

const order = (id: string): Document => ({
  row: makeRow('orders', {
    number: '5000',
    customer_id: loaded.id('customers', 0),
    status: 'placed',
    currency: 'EUR',
    total: '4.50',
    reference: `${marker}-${id}`,
    note: null,
    shipping: null,
    placed_at: stamp,
    updated_at: stamp,
  }),
  lines: new Map([
    [
      '1',
      makeRow('order_lines', {
        product_id: loaded.id('products', 0),
        sku: `${marker}-000000`,
        quantity: '3',
        unit_price: '1.50',
        discount: '0.0000',
        line_total: '4.50',
        options: null,
      }),
    ],
  ]),
  events: [
    {
      id: undefined,
      cells: makeRow('order_events', {
        kind: 'placed',
        actor: `clerk@${marker}`,
        data: '{"lines": 1}',
        occurred_at: stamp,
      }),
    },
  ],
})

async function insertOrder({ sql }: Ground, id: string, number = 5000): Promise<void> {
  await sql(
    `insert into orders (tenant_id, id, number, customer_id, currency, total, reference, placed_at, updated_at)
     values ('${anna}', $1::uuid, $3, $2, 'EUR', 4.5, '${marker}-' || $1::uuid, '${stamp}', '${stamp}')`,
    [id, loaded.id('customers', 0), number],
  )
  await sql(
    `insert into order_lines (tenant_id, order_id, line_number, product_id, sku, quantity, unit_price)
     values ('${anna}', $1, 1, $2, '${marker}-000000', 3, 1.5)`,
    [id, loaded.id('products', 0)],
  )
  await insertEvent(sql, id)
}

const insertEvent = (sql: Ground['sql'], orderId: string): Promise<void> =>
  sql(
    `insert into order_events (tenant_id, order_id, kind, actor, data, occurred_at)
     values ('${anna}', $1, 'placed', 'clerk@${marker}', '{"lines": 1}', '${stamp}')`,
    [orderId],
  )

const nothing = { writesLost: 0, writesDuplicated: 0, rowsWrong: 0, foreignRows: 0 }

t.test('finds nothing where every write is there', async (t) => {
  const at = await ground()
  t.match(await at.prove(), { ok: true, rows: 700, ...nothing }, 'as loaded')

  const ledger = at.ledger.tenant(anna)
  const [kept, deleted, placed] = [randomUUID(), randomUUID(), randomUUID()]
  ledger.acknowledge([{ entity: 'customers', id: kept, after: customer(kept) }])
  ledger.acknowledge([{ entity: 'customers', id: kept, after: customer(kept, 'renamed') }])
  ledger.acknowledge([{ entity: 'customers', id: deleted, after: customer(deleted) }])
  ledger.acknowledge([{ entity: 'customers', id: deleted, after: null }])
  ledger.acknowledge([{ entity: 'orders', id: placed, after: order(placed) }])
  ledger.acknowledge([{ entity: 'orders', id: loaded.id('orders', 5), after: null }])
  await at.sql(insertCustomer, [kept, 'renamed'])
  await insertOrder(at, placed)
  for (const [table, column] of [
    ['order_events', 'order_id'],
    ['order_lines', 'order_id'],
    ['orders', 'id'],
  ]) {
    await at.sql(`delete from ${table} where tenant_id = '${anna}' and ${column} = $1`, [
      loaded.id('orders', 5),
    ])
  }
  t.match(await at.prove(), { ok: true, samples: [], ...nothing })
})

t.test('notices what is lost', async (t) => {
  const cases: [string, (at: Ground) => Promise<void>, Partial<ProofReport>][] = [
    [
      'an insert',
      async ({ ledger }) => {
        const id = randomUUID()
        ledger.tenant(anna).acknowledge([{ entity: 'customers', id, after: customer(id) }])
      },
      { writesLost: 1 },
    ],
    [
      'an update: the row is as it was before',
      async ({ ledger, sql }) => {
        const id = randomUUID()
        ledger.tenant(anna).acknowledge([{ entity: 'customers', id, after: customer(id) }])
        ledger.tenant(anna).acknowledge([{ entity: 'customers', id, after: customer(id, 'renamed') }])
        await sql(insertCustomer, [id, 'Anna’s customer'])
      },
      { writesLost: 1 },
    ],
    [
      'an update of a loaded row',
      async ({ ledger }) => {
        const after = customer(loaded.id('customers', 3))
        ledger.tenant(anna).acknowledge([{ entity: 'customers', id: loaded.id('customers', 3), after }])
      },
      { writesLost: 1 },
    ],
    [
      'a deletion: the row is back',
      async ({ ledger, sql }) => {
        const id = randomUUID()
        ledger.tenant(anna).acknowledge([{ entity: 'customers', id, after: customer(id) }])
        ledger.tenant(anna).acknowledge([{ entity: 'customers', id, after: null }])
        await sql(insertCustomer, [id, 'Anna’s customer'])
      },
      { writesLost: 1 },
    ],
    [
      'a deletion of a loaded order',
      async ({ ledger }) => {
        ledger.tenant(anna).acknowledge([{ entity: 'orders', id: loaded.id('orders', 4), after: null }])
      },
      { writesLost: 1 },
    ],
    [
      'a loaded row of each table',
      async ({ sql }) => {
        for (const table of ['customers', 'products', 'orders', 'order_lines', 'order_events']) {
          await sql(
            `delete from ${table} where ctid = (select ctid from ${table} where tenant_id = $1 limit 1)
            and tableoid = (select tableoid from ${table} where tenant_id = $1 limit 1)`,
            [anna],
          )
        }
      },
      { writesLost: 5 },
    ],
    [
      'a line and an event of an order',
      async (at) => {
        const id = randomUUID()
        at.ledger.tenant(anna).acknowledge([{ entity: 'orders', id, after: order(id) }])
        await insertOrder(at, id)
        await at.sql('delete from order_lines where order_id = $1', [id])
        await at.sql('delete from order_events where order_id = $1', [id])
      },
      { writesLost: 2 },
    ],
  ]
  for (const [name, plant, found] of cases) {
    const at = await ground()
    await plant(at)
    t.match(await at.prove(), { ok: false, ...nothing, ...found }, name)
  }
})

t.test('notices what is there too often', async (t) => {
  const cases: [string, (at: Ground) => Promise<void>, Partial<ProofReport>][] = [
    [
      'an order, placed once, under a second id: itself, its line and its event',
      async (at) => {
        const id = randomUUID()
        at.ledger.tenant(anna).acknowledge([{ entity: 'orders', id, after: order(id) }])
        await insertOrder(at, id)
        await insertOrder(at, randomUUID(), 5001)
      },
      { writesDuplicated: 3 },
    ],
    [
      'an event, appended once, under a second id',
      async (at) => {
        const id = randomUUID()
        at.ledger.tenant(anna).acknowledge([{ entity: 'orders', id, after: order(id) }])
        await insertOrder(at, id)
        await insertEvent(at.sql, id)
      },
      { writesDuplicated: 1 },
    ],
    [
      'an event of a loaded order',
      async ({ sql }) => insertEvent(sql, loaded.id('orders', 7)),
      { writesDuplicated: 1 },
    ],
    [
      'a row twice under one key, where the key was lost',
      async ({ sql }) => {
        await sql('alter table order_lines drop constraint order_lines_pkey')
        await sql(`insert into order_lines (tenant_id, order_id, line_number, product_id, sku, quantity, unit_price)
          select tenant_id, order_id, line_number, product_id, sku, quantity, unit_price
          from order_lines where tenant_id = '${anna}' limit 1`)
      },
      { writesDuplicated: 1 },
    ],
    [
      'an order number twice, as when a sequence was left behind',
      async (at) => {
        const id = randomUUID()
        await at.sql('alter table orders drop constraint order_number_is_unique')
        at.ledger
          .tenant(anna)
          .acknowledge([
            { entity: 'orders', id, after: { ...order(id), row: ['17', ...order(id).row.slice(1)] } },
          ])
        await insertOrder(at, id, 17)
      },
      { writesDuplicated: 1 },
    ],
  ]
  for (const [name, plant, found] of cases) {
    const at = await ground()
    await plant(at)
    t.match(await at.prove(), { ok: false, ...nothing, ...found }, name)
  }
})

/** How a row of each table is found from the entity to which it belongs. */
const keys: Readonly<Record<string, readonly [Entity, string]>> = {
  customers: ['customers', 'id'],
  products: ['products', 'id'],
  orders: ['orders', 'id'],
  order_lines: ['orders', 'line_number = 1 and order_id'],
  order_events: ['orders', 'order_id'],
}

t.test('notices a content that no row ever had, to the microsecond and the last digit', async (t) => {
  const changes = [
    `update customers set updated_at = updated_at + interval '1 microsecond'`,
    `update customers set name = name || ' '`,
    `update customers set address = case when address is null then 'null'::jsonb end`,
    `update customers set labels = labels || null::text`,
    `update products set description = case when description is null then '' end`,
    `update products set weight_kg = coalesce(weight_kg, 0) + 0.001`,
    `update products set stock = stock - 1`,
    `update products set attributes = attributes || '{"x": 1.0}'`,
    `update products set image_digest = sha256(coalesce(image_digest, ''))`,
    `update orders set total = total + 0.01`,
    `update orders set status = case status when 'placed' then 'paid' else 'placed' end::order_status`,
    `update order_lines set discount = discount + 0.0001`,
    `update order_events set data = '{}'`,
  ]
  const at = await ground()
  for (const [n, change] of changes.entries()) {
    const table = /update (\w+)/.exec(change)?.[1] ?? ''
    const [kind, key] = keys[table] ?? ['orders', 'order_id']
    await at.sql(`${change} where tenant_id = $1 and ${key} = $2`, [anna, loaded.id(kind, n + 1)])
  }
  t.match(await at.prove(), { ok: false, ...nothing, rowsWrong: changes.length })
})

t.test('notices rows of other tenants', async (t) => {
  await t.test('a row with a content that is another tenant’s', async (t) => {
    const at = await ground()
    await at.sql(
      `update customers set email = 'c1@${tenantMarker(bert)}.example' where tenant_id = $1 and id = $2`,
      [anna, loaded.id('customers', 1)],
    )
    await at.sql(
      `insert into customers (tenant_id, email, name) values ($1, 'x@${tenantMarker(bert)}.example', 'X')`,
      [anna],
    )
    t.match(await at.prove(), { ok: false, ...nothing, foreignRows: 2 })
  })

  await t.test('a row of a tenant that nobody knows', async (t) => {
    const at = await ground()
    const stranger = randomUUID()
    await at.sql(`insert into customers (tenant_id, email, name) values ($1, 'x@y.example', 'X')`, [stranger])
    t.match(await at.prove(), {
      ok: false,
      ...nothing,
      foreignRows: 1,
      samples: [{ finding: 'foreign', tenantId: stranger, table: 'customers' }],
    })
  })

  await t.test('rows left behind by a tenant that lives elsewhere now', async (t) => {
    const [pool, silo] = [await ground(), await ground()]
    const prove = () =>
      proveLedger(pool.ledger, {
        homes: [
          { tenantId: anna, database: silo.database },
          { tenantId: bert, database: pool.database },
        ],
      })
    t.match(await prove(), { ok: false, ...nothing, foreignRows: 700 }, 'both are in both')
    for (const table of ['customers', 'products', 'orders', 'order_lines', 'order_events']) {
      await pool.sql(`delete from ${table} where tenant_id = $1`, [anna])
      await silo.sql(`delete from ${table} where tenant_id = $1`, [bert])
    }
    t.match(await prove(), { ok: true, rows: 700, ...nothing }, 'each is at home only')
    await pool.sql(insertCustomer, [randomUUID(), 'left behind'])
    t.match(await prove(), { ok: false, ...nothing, foreignRows: 1 }, 'one row was left')
  })

  await t.test('a row in a database where nobody lives', async (t) => {
    const at = await ground()
    const homes = [anna, bert].map((tenantId) => ({ tenantId, database: at.database }))
    const abandoned = await ground()
    const report = await proveLedger(at.ledger, { homes, empty: [abandoned.database] })
    t.match(report, { ok: false, ...nothing, foreignRows: 700 })
  })

  await t.test('and will not prove a ledger of which it does not know all homes', async (t) => {
    const at = await ground()
    const homes = [{ tenantId: anna, database: at.database }]
    await t.rejects(proveLedger(at.ledger, { homes }), { message: `where does tenant ${bert} live?` })
  })
})

t.test('a write of unknown outcome is there as a whole or not at all', async (t) => {
  const product = loaded.id('products', 0)
  const stock = Number(loaded.product(0)[5])
  /** An order of three pieces, of which the client never learned whether it was placed. */
  const doubt = (at: Ground, id: string) => {
    const row = [...loaded.product(0)]
    row[5] = String(stock - 3)
    at.ledger.tenant(anna).doubt([
      { entity: 'orders', id, after: order(id) },
      { entity: 'products', id: product, after: single(row) },
    ])
  }
  const takeOut = (at: Ground) =>
    at.sql('update products set stock = stock - 3 where tenant_id = $1 and id = $2', [anna, product])

  const cases: [string, (at: Ground, id: string) => Promise<void>, object][] = [
    ['not applied', async () => undefined, { ok: true, uncertain: { applied: 0, notApplied: 1 } }],
    [
      'applied',
      async (at, id) => {
        await insertOrder(at, id)
        await takeOut(at)
      },
      { ok: true, uncertain: { applied: 1, notApplied: 0 } },
    ],
    ['only the stock', takeOut, { ok: false, rowsWrong: 1 }],
    ['only the order', insertOrder, { ok: false, rowsWrong: 1 }],
  ]
  for (const [name, plant, found] of cases) {
    const at = await ground()
    const id = randomUUID()
    doubt(at, id)
    await plant(at, id)
    t.match(await at.prove(), { ...nothing, ...found }, name)
  }
})
