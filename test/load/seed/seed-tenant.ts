import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type DatabaseAddress, inTransaction, withClient } from '@freehold/postgres'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import type { Cell } from '../ledger/cell.ts'
import { type Table, tables } from '../ledger/tables.ts'
import type { SeedPlan } from './seed-plan.ts'
import { SeededRows } from './seeded-rows.ts'

export interface SeedTenantOptions {
  /** The tenant's home as superuser: the rows are copied past row security and triggers. */
  readonly database: DatabaseAddress
  readonly tenantId: string
  readonly plan: SeedPlan
}

/** From how many rows on a load changes the tables so much that the planner should know at once. */
const ANALYZED_ROWS = 10_000

/**
 * Loads a tenant that has no rows yet. Ids, contents and stamps follow from the plan, so whoever knows the plan
 * knows every row.
 */
export async function seedTenant({ database, tenantId, plan }: SeedTenantOptions): Promise<void> {
  const rows = new SeededRows(tenantId, plan)
  const { customers, products, orders } = rows.counts
  await withClient(database, 'load-seed', async (client) => {
    await inTransaction(client, async () => {
      await client.query("set local session_replication_role = 'replica'")
      await copy(
        client,
        tables.customers,
        tenantId,
        each(customers, (i) => [rows.id('customers', i), ...rows.customer(i)]),
      )
      await copy(
        client,
        tables.products,
        tenantId,
        each(products, (i) => [rows.id('products', i), ...rows.product(i)]),
      )
      await copy(
        client,
        tables.orders,
        tenantId,
        each(orders, (i) => [rows.id('orders', i), ...rows.order(i)]),
      )
      await copy(client, tables.order_lines, tenantId, orderLines(rows))
      await copy(
        client,
        tables.order_events,
        tenantId,
        each(orders, (i) => [rows.id('orders', i), rows.id('order_events', i), ...rows.event(i)]),
      )
      await raiseOrderNumbers(client, orders)
    })
    if (plan.rows < ANALYZED_ROWS) return
    await client.query('analyze customers, products, orders, order_lines, order_events')
  })
}

function* each(count: number, row: (index: number) => Cell[]): Generator<Cell[]> {
  for (let index = 0; index < count; index++) yield row(index)
}

function* orderLines(rows: SeededRows): Generator<Cell[]> {
  for (let order = 0; order < rows.counts.orders; order++) {
    for (const number of rows.lineNumbers(order))
      yield [rows.id('orders', order), String(number), ...rows.line(order, number)]
  }
}

async function copy(
  client: pg.Client,
  table: Table,
  tenantId: string,
  rows: Iterable<Cell[]>,
): Promise<void> {
  const columns = [...table.key.map((name) => ({ name, type: 'plain', generated: false })), ...table.columns]
  const written = columns.map(({ generated }) => !generated)
  const encode = columns.map(({ name, type }) =>
    name === 'labels' || name === 'tags' ? arrayFromJson : type === 'bytes' ? byteaFromHex : asIs,
  )
  const names = columns.filter((_, at) => written[at]).map(({ name }) => name)
  function* lines(): Generator<string> {
    let chunk = ''
    for (const row of rows) {
      chunk += tenantId
      for (const [at, cell] of row.entries()) {
        if (written[at]) chunk += `\t${cell === null ? '\\N' : escapeCopy((encode[at] ?? asIs)(cell))}`
      }
      chunk += '\n'
      if (chunk.length > 65_536) {
        yield chunk
        chunk = ''
      }
    }
    yield chunk
  }
  const sink = client.query(copyFrom(`copy ${table.name} (tenant_id, ${names.join(', ')}) from stdin`))
  await pipeline(Readable.from(lines()), sink)
}

const asIs = (cell: string): string => cell

const byteaFromHex = (cell: string): string => `\\x${cell}`

/** The cell of a text array is its JSON; COPY wants the array's own notation. */
function arrayFromJson(cell: string): string {
  const items: string[] = JSON.parse(cell)
  return `{${items.map((item) => `"${item.replace(/["\\]/g, '\\$&')}"`).join(',')}}`
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }

/** Most values have nothing to escape, and to look is cheaper than to replace. */
const escapeCopy = (text: string): string =>
  /[\\\t\n\r]/.test(text) ? text.replace(/[\\\t\n\r]/g, (character) => escapes[character] ?? character) : text

/** Lets the sequence go on behind the seeded numbers. Seeds of two tenants take turns, so that neither sets it back. */
async function raiseOrderNumbers(client: pg.Client, orders: number): Promise<void> {
  if (orders === 0) return
  await client.query("select pg_advisory_xact_lock(hashtextextended('load-seed', 0))")
  await client.query(
    `select setval(pg_get_serial_sequence('orders', 'number'),
       greatest((select last_value from orders_number_seq), $1))`,
    [orders],
  )
}
