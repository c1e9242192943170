import { copyFrom } from '@freehold/tenancy'
import { type RawBuilder, sql } from 'kysely'
import { jsonArrayFrom } from 'kysely/helpers/postgres'
import type { FuzzTables } from '../fuzz/tables.ts'
import { type Attempt, attempt } from './attempt.ts'

const markerOf = (tenant: string): RawBuilder<string> => sql<string>`${`of ${tenant}`}::text`

/** Queries built with Kysely that read what is the victim's, unless something stops them. */
export const READS: readonly Attempt[] = [
  attempt('a table', (db) => db.selectFrom('customers').selectAll().execute()),
  attempt('a table by its alias', (db) => db.selectFrom('orders as o').select('o.marker').execute()),
  attempt('a table of the schema', (db) => db.withSchema('public').selectFrom('lines').selectAll().execute()),
  attempt('a partitioned table', (db) => db.selectFrom('events').selectAll().execute()),
  attempt('sql.table', (db) =>
    db.selectFrom(sql.table<FuzzTables['customers']>('customers').as('c')).selectAll().execute(),
  ),
  attempt('sql.id', (db) =>
    db.selectFrom(sql.id<FuzzTables['customers']>('customers').as('c')).selectAll().execute(),
  ),
  attempt('sql.id with a schema', (db) =>
    db.selectFrom(sql.id<FuzzTables['customers']>('public', 'customers').as('c')).selectAll().execute(),
  ),
  attempt('sql.ref', (db) =>
    db.selectFrom(sql.ref<FuzzTables['customers']>('customers').as('c')).selectAll().execute(),
  ),
  attempt('sql.ref with a schema', (db) =>
    db.selectFrom(sql.ref<FuzzTables['customers']>('public.customers').as('c')).selectAll().execute(),
  ),
  attempt('a table within raw SQL that has no text', (db) =>
    db
      .selectFrom(sql<FuzzTables['customers']>`${sql`${sql.table('customers')}`}`.as('c'))
      .selectAll()
      .execute(),
  ),
  attempt('an alias within raw SQL', (db) =>
    db
      .selectFrom(sql`${sql.id('customers')} as c cross join regions`.as('r'))
      .select(sql<string>`c.marker`.as('marker'))
      .execute(),
  ),
  attempt('sql.id in a left join', (db) =>
    db
      .selectFrom('regions as r')
      .leftJoin(sql.id<FuzzTables['customers']>('customers').as('c'), (join) => join.onTrue())
      .select('c.marker')
      .execute(),
  ),
  attempt('sql.ref in a full join', (db) =>
    db
      .selectFrom(sql.ref<FuzzTables['customers']>('customers').as('c'))
      .fullJoin('orders as o', 'o.customer_id', 'c.id')
      .select('c.marker')
      .execute(),
  ),
  attempt('sql.id with renamed columns', (db) =>
    db
      .selectFrom(sql.id<{ g: string }>('customers').as<'c'>(sql`c(a, b, c, d, e, f, g)`))
      .select('c.g')
      .execute(),
  ),
  attempt('a query that was compiled for the victim', async (db, _victim, _attacker, of) => {
    const compiled = of.selectFrom('customers').selectAll().compile()
    return (await db.executeQuery(compiled)).rows
  }),
  attempt('a copy of a query that was compiled for the victim', async (db, _victim, _attacker, of) => {
    const compiled = { ...of.selectFrom('customers').selectAll().compile() }
    return db.transaction().execute(async (trx) => (await trx.executeQuery(compiled)).rows)
  }),
  attempt("the victim's query", async (db, _victim, _attacker, of) => {
    return (await db.executeQuery(of.selectFrom('customers').selectAll())).rows
  }),
  attempt("a copy of what the victim's query returns", async (db, _victim, _attacker, of) => {
    const chunks: Buffer[] = []
    for await (const chunk of copyFrom(db, of.selectFrom('customers').selectAll())) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }),
  attempt('renamed columns', (db) =>
    db
      .selectFrom(sql.table<{ g: string }>('customers').as<'c'>(sql`c(a, b, c, d, e, f, g)`))
      .select('c.g')
      .execute(),
  ),
  attempt('a condition that names the victim', (db, victim) =>
    db.selectFrom('customers').selectAll().where('tenant_id', '=', victim).execute(),
  ),
  attempt('OR', (db, victim) =>
    db
      .selectFrom('customers')
      .selectAll()
      .where((eb) => eb.or([eb('tenant_id', '=', victim), eb('id', '>', 0)]))
      .execute(),
  ),
  attempt('a raw condition with OR', (db) =>
    db.selectFrom('customers').selectAll().where(sql<boolean>`false or true`).execute(),
  ),
  attempt('an inner join', (db) =>
    db
      .selectFrom('regions as r')
      .innerJoin('customers as c', 'c.region', 'r.code')
      .select('c.marker')
      .execute(),
  ),
  attempt('a left join with a raw OR', (db) =>
    db
      .selectFrom('regions as r')
      .leftJoin('customers as c', (join) => join.on(sql<boolean>`c.region = r.code or true`))
      .select('c.marker')
      .execute(),
  ),
  attempt('a right join', (db) =>
    db
      .selectFrom('regions as r')
      .rightJoin('customers as c', 'c.region', 'r.code')
      .select('c.marker')
      .execute(),
  ),
  attempt('the left side of a right join', (db) =>
    db
      .selectFrom('customers as c')
      .rightJoin('regions as r', 'c.region', 'r.code')
      .select('c.marker')
      .execute(),
  ),
  attempt('a full join', (db) =>
    db
      .selectFrom('customers as c')
      .fullJoin('orders as o', 'o.customer_id', 'c.id')
      .select(['c.marker', 'o.marker as other'])
      .execute(),
  ),
  attempt('a cross join', (db) =>
    db.selectFrom('regions').crossJoin('customers').select('customers.marker').execute(),
  ),
  attempt('a comma', (db) => db.selectFrom(['regions as r', 'customers as c']).select('c.marker').execute()),
  attempt('a self join', (db) =>
    db.selectFrom('customers as a').innerJoin('customers as b', 'a.id', 'b.id').select('b.marker').execute(),
  ),
  attempt('a lateral join', (db) =>
    db
      .selectFrom('regions as r')
      .innerJoinLateral(
        (eb) =>
          eb.selectFrom('customers as c').select('c.marker').whereRef('c.region', '=', 'r.code').as('x'),
        (join) => join.onTrue(),
      )
      .select('x.marker')
      .execute(),
  ),
  attempt('a derived table', (db) =>
    db
      .selectFrom((eb) => eb.selectFrom('customers').select('marker').distinct().as('x'))
      .selectAll()
      .execute(),
  ),
  attempt('a scalar subquery', (db, victim) =>
    db
      .selectNoFrom((eb) =>
        eb.selectFrom('customers').select('marker').where('tenant_id', '=', victim).limit(1).as('x'),
      )
      .execute(),
  ),
  attempt('EXISTS', (db, victim) =>
    db
      .selectFrom('regions')
      .select(markerOf(victim).as('x'))
      .where((eb) =>
        eb.exists(eb.selectFrom('customers as c').select('c.id').where('c.tenant_id', '=', victim)),
      )
      .execute(),
  ),
  attempt('IN', (db, victim) =>
    db
      .selectFrom('regions')
      .select(markerOf(victim).as('x'))
      .where((eb) => eb(sql<string>`${victim}::uuid`, 'in', eb.selectFrom('customers').select('tenant_id')))
      .execute(),
  ),
  attempt('CASE and a subquery in ORDER BY and HAVING', (db, victim) =>
    db
      .selectFrom('regions')
      .select((eb) =>
        eb
          .case()
          .when(eb(eb.selectFrom('customers').select(eb.fn.countAll().as('n')), '>', sql<number>`8`))
          .then(markerOf(victim))
          .else(sql<string>`''`)
          .end()
          .as('x'),
      )
      .execute(),
  ),
  attempt('an aggregate', (db) =>
    db
      .selectFrom('customers')
      .select((eb) => [eb.fn.min('marker').as('x'), eb.fn.max('marker').as('y')])
      .execute(),
  ),
  attempt('a window', (db) =>
    db.selectFrom('customers').select(sql<string>`lag(marker) over (order by marker desc)`.as('x')).execute(),
  ),
  attempt('a JSON helper', (db) =>
    db
      .selectFrom('regions as r')
      .select((eb) =>
        jsonArrayFrom(eb.selectFrom('customers as c').selectAll('c').whereRef('c.region', '=', 'r.code')).as(
          'x',
        ),
      )
      .execute(),
  ),
  attempt('UNION', (db) =>
    db
      .selectFrom('regions')
      .select('name')
      .union((eb) => eb.selectFrom('customers').select('marker as name'))
      .execute(),
  ),
  attempt('EXCEPT of nothing', (db) =>
    db
      .selectFrom('orders')
      .select('marker')
      .except((eb) => eb.parens(eb.selectFrom('orders').select('marker').where('id', '<', 0)))
      .execute(),
  ),
  attempt('WITH', (db) =>
    db
      .with('x', (eb) => eb.selectFrom('customers').select('marker'))
      .selectFrom('x')
      .selectAll()
      .execute(),
  ),
  attempt('WITH by the name of the table', (db) =>
    db
      .with('customers', (eb) => eb.selectFrom('customers').select('marker'))
      .selectFrom('customers')
      .select('marker')
      .execute(),
  ),
  attempt('a table beside a WITH of its name in a subquery', (db) =>
    db
      .selectFrom('customers as c')
      .select('c.marker')
      .where((eb) =>
        eb.exists(
          db
            .with('customers', (inner) => inner.selectNoFrom(sql`1`.as('one')))
            .selectFrom('customers')
            .select('one'),
        ),
      )
      .execute(),
  ),
  attempt('WITH RECURSIVE', (db) =>
    db
      .withRecursive('r(id, marker)', (eb) =>
        eb
          .selectFrom('orders')
          .select(['id', 'marker'])
          .where('id', '=', 1)
          .unionAll(
            eb
              .selectFrom('r')
              .innerJoin('orders as o', (join) => join.on(sql<boolean>`o.id = r.id + 1`))
              .select(['o.id', 'o.marker']),
          ),
      )
      .selectFrom('r')
      .selectAll()
      .execute(),
  ),
  attempt('a query within raw SQL', (db) =>
    sql`select x.marker from ${db.selectFrom('customers').select('marker')} as x`.execute(db),
  ),
  attempt('FOR UPDATE', (db) =>
    db.transaction().execute((trx) => trx.selectFrom('orders').selectAll().forUpdate().execute()),
  ),
  attempt('FOR UPDATE of a right join', (db) =>
    db
      .transaction()
      .execute((trx) =>
        trx
          .selectFrom('orders as o')
          .rightJoin('customers as c', 'c.id', 'o.customer_id')
          .select('c.marker')
          .forUpdate(['c'])
          .execute(),
      ),
  ),
  attempt('without plugins', (db) => db.withoutPlugins().selectFrom('customers').selectAll().execute()),
  attempt('a stream', async (db) => {
    const rows: unknown[] = []
    for await (const row of db.selectFrom('customers').selectAll().stream(3)) rows.push(row)
    return rows
  }),
]
