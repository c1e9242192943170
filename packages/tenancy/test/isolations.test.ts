import { randomUUID } from 'node:crypto'
import { type TenantId, tenantIdSchema } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { createRouter } from '@freehold/tenancy'
import { type Kysely, sql } from 'kysely'
import t, { type Test } from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  ControlledSource,
  createItemsDatabase,
  createOwnSchema,
  setResident,
  type TenantColumn,
  type TestDatabase,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'

interface Database {
  items: { id: number; name: string; quantity?: number }
}

interface Inhabitant {
  readonly name: string
  readonly id: TenantId
  readonly home: TestDatabase
  readonly schema: string | null
  readonly db: Kysely<Database>
}

const COLUMNS: readonly { readonly column: TenantColumn; readonly newId: (n: number) => string }[] = [
  { column: { name: 'tenant_id', type: 'uuid' }, newId: () => randomUUID() },
  { column: { name: 'account_id', type: 'bigint' }, newId: (n) => `${9_007_199_254_740_993n + BigInt(n)}` },
  { column: { name: 'Owner "of" row', type: 'text' }, newId: (n) => `org_${n}-Ab` },
]

const prepared = await startPreparedCluster('isolations')
const source = new ControlledSource()
/** One connection, so that each tenant follows another on the same session. */
const router = createRouter<Database>({ source, entrySecret: testEntrySecret, maxConnectionsPerDatabase: 1 })
t.teardown(async () => {
  await router.close()
  await prepared.cluster.remove()
})

async function settle(
  name: string,
  id: string,
  home: TestDatabase,
  schema: string | null = null,
): Promise<Inhabitant> {
  const tenantId = tenantIdSchema.parse(id)
  await setResident(home, tenantId, 'active', 1, schema)
  source.place(home, tenantId, schema === null ? {} : { isolation: 'schema', schema })
  return { name, id: tenantId, home, schema, db: router.forTenant(id) }
}

for (const [index, { column, newId }] of COLUMNS.entries()) {
  const { name, type } = column

  t.test(`pool, schema and silo, with ${name} ${type}`, async (t) => {
    const shared = await createItemsDatabase(prepared, `shared_${index}`, column)
    const silo = await createItemsDatabase(prepared, `silo_${index}`, column)
    const schemas = [`own_${index}_a`, `Own "${index}", b`]
    for (const schema of schemas) await createOwnSchema(shared, schema, column)
    const tenants = [
      await settle('pool a', newId(1), shared),
      await settle('pool b', newId(2), shared),
      await settle('schema a', newId(3), shared, schemas[0]),
      await settle('schema b', newId(4), shared, schemas[1]),
      await settle('silo', newId(5), silo),
    ]

    // The same keys in every tenant, so that a row that crosses collides or shows.
    for (const tenant of tenants) {
      await tenant.db.insertInto('items').values({ id: 1, name: tenant.name }).execute()
      await tenant.db.transaction().execute(async (trx) => {
        await trx.insertInto('items').values({ id: 2, name: tenant.name }).execute()
      })
    }
    for (let round = 0; round < 3; round++) {
      for (const tenant of tenants) await seesItsOwnOnly(t, tenant)
    }
    for (const tenant of tenants) {
      await tenant.db.updateTable('items').set({ quantity: 1 }).execute()
      const deleted = await tenant.db.deleteFrom('items').where('id', '=', 2).executeTakeFirstOrThrow()
      t.equal(deleted.numDeletedRows, 1n, tenant.name)
    }
    await t.test('a schema is entered by its own tenant only', (t) => staysInItsSchema(t, tenants))
    await t.test('plans are kept a schema', (t) => keepsPlans(t, tenants))
  })
}

async function seesItsOwnOnly(t: Test, { db, name, id }: Inhabitant): Promise<void> {
  const expected = [
    { id: 1, name },
    { id: 2, name },
  ]
  t.same(await db.selectFrom('items').select(['id', 'name']).orderBy('id').execute(), expected, name)
  const raw = await sql`select id, name from items order by id`.execute(db)
  t.same(raw.rows, expected, `${name}, raw`)
  const rows = await db
    .transaction()
    .execute((trx) => trx.selectFrom('items').select(['id', 'name']).orderBy('id').execute())
  t.same(rows, expected, `${name}, in a transaction`)
  const streamed = []
  for await (const row of db.selectFrom('items').select(['id', 'name']).orderBy('id').stream(1)) {
    streamed.push(row)
  }
  t.same(streamed, expected, `${name}, streamed`)
  const current = await sql<{ tenant: string }>`select freehold.current_tenant() as tenant`.execute(db)
  t.equal(current.rows[0]?.tenant, id)
}

/** Named outright, or found by another search path, the tables of others and the shared ones show and take nothing. */
async function staysInItsSchema(t: Test, tenants: readonly Inhabitant[]): Promise<void> {
  const [shared] = tenants.filter(({ schema }) => schema === null)
  const places = ['public', ...tenants.flatMap(({ schema }) => schema ?? [])]
  for (const tenant of tenants.filter(({ home }) => home === shared?.home)) {
    for (const place of places.filter((place) => place !== (tenant.schema ?? 'public'))) {
      const table = sql.id(place, 'items')
      t.same((await sql`select * from ${table}`.execute(tenant.db)).rows, [], `${tenant.name} in ${place}`)
      await t.rejects(sql`insert into ${table} (id, name) values (9, 'x')`.execute(tenant.db), {
        code: '42501',
      })
      const other = await tenant.db.transaction().execute(async (trx) => {
        await sql`select set_config('search_path', quote_ident(${place}), true)`.execute(trx)
        return trx.selectFrom('items').selectAll().execute()
      })
      t.same(other, [], `${tenant.name} by search path in ${place}`)
    }
    // As a rollback to a savepoint brings back what was set before it, and nothing is remembered outside the server.
    const after = await tenant.db.transaction().execute(async (trx) => {
      await sql`savepoint before`.execute(trx)
      await sql`select set_config('search_path', 'nowhere', true)`.execute(trx)
      await sql`rollback to savepoint before`.execute(trx)
      return trx.selectFrom('items').select('name').executeTakeFirstOrThrow()
    })
    t.same(after, { name: tenant.name })
  }
}

/** A statement that every tenant runs on the one session is prepared once a schema, and never planned for another. */
async function keepsPlans(t: Test, tenants: readonly Inhabitant[]): Promise<void> {
  const [first] = tenants
  if (!first) return
  const prepared = tenants.filter(({ home }) => home === first.home)
  for (let round = 0; round < 4; round++) {
    for (const { db } of prepared) {
      await db.selectFrom('items').select('quantity').where('id', '=', 1).executeTakeFirstOrThrow()
    }
  }
  const { rows } = await sql<{ statement: string; runs: number }>`
    select statement, (generic_plans + custom_plans)::integer as runs from pg_prepared_statements
    where statement like 'select "quantity" from "items"%'`.execute(first.db)
  t.same(
    rows.map(({ runs }) => runs).sort((a, b) => a - b),
    [4, 4, 8],
    'one for each schema, and one for the two tenants in the shared tables',
  )
}

t.test('ids that PostgreSQL would take for another tenant’s are nobody’s', async (t) => {
  const database = await createItemsDatabase(prepared, 'numbered', { name: 'account_id', type: 'bigint' })
  const tenant = await settle('forty-two', '42', database)
  await tenant.db.insertInto('items').values({ id: 1, name: 'x' }).execute()
  for (const alias of ['042', '+42', '0x2A', '0o52', '4_2', ' 42', '42 ', '42.0']) {
    await withClient(database.owner, 'test', (client) =>
      t.rejects(
        client.query(
          `insert into freehold.resident (tenant_id, epoch, entry_digest, state)
           values ($1, 1, sha256(convert_to($1, 'UTF8')), 'active')`,
          [alias],
        ),
        { code: '23514' },
        alias,
      ),
    )
  }
})

t.test('a column in which two ids can be equal cannot be a tenant column', async (t) => {
  const database = await createItemsDatabase(prepared, 'odd', { name: 'tenant_id', type: 'text' })
  await withClient(database.owner, 'test', async (client) => {
    await client.query(
      `create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
    )
    for (const type of ['text collate blind', 'char(8)', 'numeric', 'real', 'jsonb']) {
      await client.query(`drop table if exists odd; create table odd (tenant_id ${type} not null)`)
      await t.rejects(client.query(`select freehold.protect_table('odd')`), { code: '42804' }, type)
    }
  })
})

t.test('a limit is part of the statement, whatever else is a parameter', async (t) => {
  const database = await createItemsDatabase(prepared, 'limited')
  const { db } = await settle('limited', randomUUID(), database)
  const query = db.selectFrom('items').select('id').where('id', '>', 1)
  t.match(query.limit(20).offset(40).compile(), { sql: /limit 20 offset \$2$/, parameters: [1, 40] })
  t.match(query.limit(sql<number>`1 + ${1}`).compile(), { sql: /limit 1 \+ \$2$/, parameters: [1, 1] })
  t.match(
    query.limit(0.5).compile(),
    { sql: /limit \$2$/, parameters: [1, 0.5] },
    'what is no whole number stays one',
  )
  t.same(await query.limit(20).execute(), [])
})

t.test('what SQL of a tenant sets for the role of all is not what sessions have', async (t) => {
  const database = await createItemsDatabase(prepared, 'pinned')
  const tenant = await settle('pinned', randomUUID(), database)
  const settings = {
    datestyle: 'SQL, DMY',
    client_encoding: 'LATIN1',
    default_transaction_read_only: 'on',
    default_transaction_isolation: 'serializable',
    row_security: 'off',
    standard_conforming_strings: 'off',
    log_parameter_max_length_on_error: '-1',
    statement_timeout: '1ms',
  }
  for (const [name, value] of Object.entries(settings)) {
    await sql`alter role freehold_app set ${sql.raw(name)} = ${sql.lit(value)}`.execute(tenant.db)
  }
  t.teardown(() =>
    withClient(database.superuser, 'test', (client) => client.query('alter role freehold_app reset all')),
  )
  const options = { source, entrySecret: testEntrySecret, session: { statement_timeout: '45s' } }
  const fresh = createRouter<Database>(options)
  t.teardown(() => fresh.close())
  const names = sql.join(Object.keys(settings).map((name) => sql.lit(name)))
  const asked = sql<{ name: string; setting: string }>`
    select name, setting from pg_settings where lower(name) in (${names}) order by lower(name)`
  const seen = async () =>
    Object.fromEntries(
      (await asked.execute(fresh.forTenant(tenant.id))).rows.map((row) => [row.name, row.setting]),
    )
  const pinned = {
    client_encoding: 'UTF8',
    DateStyle: 'ISO, MDY',
    default_transaction_isolation: 'read committed',
    default_transaction_read_only: 'off',
    log_parameter_max_length_on_error: '0',
    row_security: 'on',
    standard_conforming_strings: 'on',
    statement_timeout: '45000',
  }
  t.same(await seen(), pinned)
  await sql`select set_config('datestyle', 'German', false)`.execute(fresh.forTenant(tenant.id))
  t.same(await seen(), pinned, 'nor once a session has been cleaned')
  t.throws(() => createRouter({ ...options, session: { 'a b': 'x' } }), { code: 'config_invalid' })
  t.throws(() => createRouter({ ...options, pooler: 'transaction' }), { code: 'config_invalid' })
})
