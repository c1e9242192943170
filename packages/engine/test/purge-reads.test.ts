import { randomUUID } from 'node:crypto'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { prepareMovingGround } from '../../../test/kit/moving-ground.ts'

/** What a purge reads of tables that others share: the server left to itself would read more. */
const ground = await prepareMovingGround()
t.teardown(() => ground.remove())
t.setTimeout(300_000)
const [ROWS, BATCH] = [1_000, 100]

const inPool = (sql: string, values: unknown[] = []) =>
  withClient(asSuperuser(ground.us.cluster, 'pool'), 'test', (client) => client.query(sql, values))

/** Products that lie beside each other; of those with many digits there are five to a page. */
async function fill(tenantIds: readonly string[], rows: number, digits = 0): Promise<void> {
  await inPool(
    `insert into products (tenant_id, sku, name, currency, price, description)
     select id, k, 'Product ' || k, 'EUR', 1, (select string_agg(md5(n || '-' || k), '') from generate_series(1, $3::int) n)
     from unnest($1::uuid[]) id, generate_series(1, $2::int) k`,
    [tenantIds, rows, digits],
  )
}

/** Moves a tenant away from others; @returns how the products were read meanwhile, by everybody. */
async function readsBeside(others: number, rows: number) {
  const tenant = await ground.tenant(`beside-${others}`, 0)
  await fill(
    Array.from({ length: others }, () => randomUUID()),
    rows,
    45,
  )
  await fill([tenant.id], ROWS)
  await inPool('analyze')
  const { id } = await ground.startMove(tenant)
  await inPool('select pg_stat_reset()')
  let batches = 0
  const engine = ground.engine({
    settings: { purgeBatchRows: BATCH },
    barrier: async (name) => {
      if (name === 'finalize.batch_purged') batches++
    },
  })
  engine.start()
  const { phase } = await ground.ended(id)
  await engine.stop()
  const found = await inPool(
    `select seq_scan::int as scans, idx_scan::int as lookups,
       (select sum(idx_tup_read)::int from pg_stat_user_indexes used where used.relid = read.relid) as entries
     from pg_stat_user_tables read where relname = 'products'`,
  )
  return { phase, batches, ...found.rows[0] }
}

t.test('whether rows are left is looked up, where all rows would be read otherwise', async (t) => {
  const { phase, lookups } = await readsBeside(1, 4_000)
  t.equal(phase, 'completed')
  t.equal(lookups, 1, "all else reads the table, of which half is the tenant's as far as the server knows")
})

t.test('rows are looked up where they lie, and not all of the tenant for each batch', async (t) => {
  const { phase, batches, entries } = await readsBeside(200, 20)
  t.equal(phase, 'completed')
  t.ok(batches >= ROWS / BATCH, `${batches} batches`)
  t.ok(entries < 6 * ROWS, `${entries} entries of indexes were read`)
})
