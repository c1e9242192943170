import { connectClient, withClient } from '@freehold/postgres'
import type pg from 'pg'
import t from 'tap'
import { openTestCatalog, startPreparedCluster } from '../kit/control-plane.ts'
import { asSuperuser, createDataDatabase } from '../kit/databases.ts'
import { catalogRows, endHome, ids, placement, type Violation } from './violations/catalog-rows.ts'
import { dataRows, dataViolations } from './violations/data-database.ts'
import { doorViolations } from './violations/doors.ts'
import { evacuationViolations } from './violations/evacuations.ts'
import { operationViolations } from './violations/operations.ts'
import { placeViolations } from './violations/places.ts'

// Every rule of the two schemas is a constraint with a name. Each is violated once, by name (`violations/`), and the last
// test compares the list with what the databases really have: a constraint without a test fails the build.

const server = await startPreparedCluster('constraints')
const catalog = await openTestCatalog(server)
await catalog.close()
await createDataDatabase(server.cluster, server.passwords, 'pool', { product: false })

const control = await connectClient(server.as('freehold_control', 'freehold_catalog'), 'test')
const owner = await connectClient(server.as('freehold_owner', 'pool'), 'test')
t.teardown(async () => {
  await control.end()
  await owner.end()
  await server.cluster.remove()
})

const catalogViolations = [
  ...placeViolations,
  ...operationViolations,
  ...evacuationViolations,
  ...doorViolations,
]

// What only the owner of the tables can try at all: the role of the control API lacks the right.
const ownerViolations: Violation[] = [
  [
    'operation_events_are_append_only',
    'a rewritten entry',
    "update catalog.operation_events set message = 'x'",
  ],
  ['operation_events_are_append_only', 'a removed entry', 'delete from catalog.operation_events'],
]

// The epoch's own rule speaks before this key does.
const silencedViolations: Violation[] = [
  ['placements_pkey', 'an epoch twice', placement(ids.loner, 1, ids.poolUs, 'us', 'any')],
]

// These exist to be referred to; each is subsumed by the primary key, which refuses first.
const referenceKeys: Violation[] = [
  ['region_is_in_one_jurisdiction', 'regions', 'regions_pkey'],
  ['cluster_is_in_one_jurisdiction', 'clusters', 'clusters_pkey'],
  ['data_database_is_in_one_jurisdiction', 'data_databases', 'data_databases_pkey'],
  ['data_database_has_one_kind', 'data_databases', 'data_databases_pkey'],
  ['tenant_has_one_pin', 'tenants', 'tenants_pkey'],
]

await control.query(`begin; ${catalogRows} commit`)
await owner.query(dataRows)

/** The constraint that refuses a statement; nothing of it stays. */
async function refusedBy(client: pg.Client, sql: string): Promise<string> {
  await client.query('begin')
  try {
    await client.query(sql)
    await client.query('set constraints all immediate')
    return 'nothing'
  } catch (error) {
    const { constraint, message } = error as pg.DatabaseError
    return constraint ?? message
  } finally {
    await client.query('rollback')
  }
}

t.test('the catalog refuses', async (t) => {
  for (const [constraint, attempt, sql] of catalogViolations) {
    t.equal(await refusedBy(control, sql), constraint, attempt)
  }
})

t.test('the timeline is written once, whoever tries', async (t) => {
  t.match(await refusedBy(control, 'delete from catalog.operation_events'), /permission denied/)
  await withClient(server.as('freehold_owner', 'freehold_catalog'), 'test', async (client) => {
    for (const [constraint, attempt, sql] of ownerViolations) {
      t.equal(await refusedBy(client, sql), constraint, attempt)
    }
  })
})

t.test('an epoch is a key even where no trigger fires', async (t) => {
  await withClient(asSuperuser(server.cluster, 'freehold_catalog'), 'test', async (client) => {
    await client.query('set session_replication_role = replica')
    for (const [constraint, attempt, sql] of silencedViolations) {
      t.equal(await refusedBy(client, sql), constraint, attempt)
    }
  })
})

t.test('keys that are only referred to are subsumed by a primary key', async (t) => {
  await withClient(asSuperuser(server.cluster, 'freehold_catalog'), 'test', async (client) => {
    for (const [constraint, table, pkey] of referenceKeys) {
      t.equal(await refusedBy(client, `insert into catalog.${table} ${copyOf(`catalog.${table}`)}`), pkey)
      const subsumed = await client.query(
        `select from pg_constraint wide join pg_constraint narrow using (conrelid)
         where wide.conname = $1 and narrow.conname = $2 and wide.conkey @> narrow.conkey`,
        [constraint, pkey],
      )
      t.equal(subsumed.rowCount, 1, constraint)
    }
  })

  function copyOf(table: string): string {
    if (table !== 'catalog.tenants') return `select * from ${table}`
    return `(id, slug, name, tier_id) select id, slug || 'x', name, tier_id from ${table}`
  }
})

t.test('a data database refuses', async (t) => {
  for (const [constraint, attempt, sql] of dataViolations) {
    t.equal(await refusedBy(owner, sql), constraint, attempt)
  }
})

const schemas = [
  ['freehold_catalog', 'catalog'],
  ['pool', 'freehold'],
] as const

for (const [database, schema] of schemas) {
  t.test(`no column that must have a value may be without one: ${schema}`, async (t) => {
    await withClient(asSuperuser(server.cluster, database), 'test', async (client) => {
      const columns = await client.query<{
        name: string
        relation: string
        column: string
        writable: string[]
      }>(
        `select conname as name, conrelid::regclass::text as relation, attname as column,
           (select array_agg(quote_ident(attname)) from pg_attribute
            where attrelid = conrelid and attnum > 0 and not attisdropped and attgenerated = '')::text[] as writable
         from pg_constraint join pg_attribute on attrelid = conrelid and attnum = conkey[1]
         where contype = 'n' and connamespace = $1::regnamespace`,
        [schema],
      )
      // Foreign keys and triggers would speak first; a missing value is refused by the table itself.
      await client.query('set session_replication_role = replica')
      for (const { name, relation, column, writable } of columns.rows) {
        const refused = await refusedBy(
          client,
          `insert into ${relation} (${writable.join(', ')})
           select ${writable.map((each) => `emptied.${each}`).join(', ')}
           from (select * from ${relation} limit 1) existing,
             jsonb_populate_record(null::${relation}, to_jsonb(existing) - '${column}') emptied`,
        )
        t.match(refused, new RegExp(`^(${name}$|null value in column "${column}")`), name)
      }
    })
  })
}

t.test('every constraint has a test that tries to violate it', async (t) => {
  const violated = new Set(
    [
      ...catalogViolations,
      ...ownerViolations,
      ...silencedViolations,
      ...referenceKeys,
      ...dataViolations,
      // Two rows that it would refuse are refused by `entry_digest_names_one_tenant` before.
      ['resident_is_open'],
    ].map(([name]) => name),
  )
  for (const [database, schema] of schemas) {
    const names = await withClient(asSuperuser(server.cluster, database), 'test', (client) =>
      client.query<{ name: string }>(
        `select conname as name from pg_constraint
         where connamespace = $1::regnamespace and contype not in ('n', 't')
         union select indexrelid::regclass::name from pg_index
         join pg_class on pg_class.oid = indexrelid where indisunique and relnamespace = $1::regnamespace
         union select (regexp_matches(prosrc, 'constraint = ''(\\w+)''', 'g'))[1] from pg_proc
         where pronamespace = $1::regnamespace`,
        [schema],
      ),
    )
    const untested = names.rows
      .map(({ name }) => name.split('.').at(-1) ?? name)
      .filter((name) => !violated.has(name))
    t.ok(names.rows.length > 5)
    t.same(untested, [], schema)
  }
  await withClient(asSuperuser(server.cluster, 'freehold_catalog'), 'test', async (client) => {
    const triggers = await client.query<{ name: string }>(
      `select tgname as name from pg_trigger where not tgisinternal and tgname not like 'announce%' and tgname <> 'name_tenant' order by 1`,
    )
    // Each of these guards a rule whose name the function raises; tenant_keeps_a_home raises tenant_has_a_home, and
    // dropped_databases_are_empty raises home_is_not_dropped.
    t.same(
      triggers.rows.map(({ name }) => name),
      [
        'draining_clusters_take_no_moves',
        'draining_clusters_take_no_tenants',
        'dropped_databases_are_empty',
        'epoch_only_grows',
        'fencing_token_only_grows',
        'home_is_not_dropped',
        'operation_events_are_append_only',
        'placements_are_history',
        'revoked_keys_stay_revoked',
        'tenant_has_a_home',
        'tenant_keeps_a_home',
      ],
    )
  })
})

t.test('a pin may change while nothing is outside it, and history stays as it was', async (t) => {
  await control.query('begin')
  await control.query(`${endHome(ids.pinned)}; ${placement(ids.pinned, 2, ids.poolUs, 'us', 'us')}`)
  await control.query(`update catalog.tenants set residency = null where id = '${ids.pinned}'`)
  await control.query(
    `${endHome(ids.pinned)}; ${placement(ids.pinned, 3, ids.siloEu, 'eu', 'any', 'silo', 'silo')}`,
  )
  await control.query(`update catalog.tenants set residency = 'eu' where id = '${ids.pinned}'`)
  await control.query('set constraints all immediate')
  const rows = await control.query(
    `select epoch::int, jurisdiction, pinned_to, until is null as home from catalog.placements
     where tenant_id = '${ids.pinned}' order by epoch`,
  )
  t.same(rows.rows, [
    { epoch: 1, jurisdiction: 'us', pinned_to: 'eu', home: false },
    { epoch: 2, jurisdiction: 'us', pinned_to: 'eu', home: false },
    { epoch: 3, jurisdiction: 'eu', pinned_to: 'eu', home: true },
  ])
  await control.query('rollback')
})

t.end()
