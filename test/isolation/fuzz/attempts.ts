import { copyFrom } from '@freehold/tenancy'
import { type Kysely, type RawBuilder, sql } from 'kysely'
import { jsonArrayFrom } from 'kysely/helpers/postgres'
import type { FuzzTables } from './tables.ts'

type Db = Kysely<FuzzTables>

export interface Attempt {
  readonly name: string
  /**
   * Runs as the attacker.
   *
   * @param of the victim's own instance, for what somebody has kept of it.
   * @returns rows, in which the victim must not be found.
   */
  run(db: Db, victim: string, attacker: string, of: Db): Promise<unknown>
}

const attempt = (name: string, run: Attempt['run']): Attempt => ({ name, run })
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

/** Writes built with Kysely that give the victim's rows away, or touch them, unless something stops them. */
export const WRITES: readonly Attempt[] = [
  attempt('UPDATE', (db) => db.updateTable('customers').set({ name: 'owned' }).returning('marker').execute()),
  attempt('UPDATE of the victim', (db, victim) =>
    db.updateTable('customers as c').set({ name: 'owned' }).where('c.tenant_id', '=', victim).execute(),
  ),
  attempt('UPDATE of sql.id', (db) =>
    db
      .updateTable(sql.id<FuzzTables['customers']>('customers').as('c'))
      .set({ name: 'owned' })
      .returning('marker')
      .execute(),
  ),
  attempt('UPDATE of a column named by sql.id', (db, victim, attacker) =>
    db
      .updateTable('events')
      .set(sql.id<string>('tenant_id'), victim)
      .set({ id: 97 })
      .where('id', '=', 1)
      .where('tenant_id', '=', attacker)
      .execute(),
  ),
  attempt('UPDATE that was compiled for the victim', (db, _victim, _attacker, of) =>
    db.executeQuery(of.updateTable('customers').set({ name: 'owned' }).compile()),
  ),
  attempt('UPDATE FROM sql.id', (db) =>
    db
      .updateTable('orders')
      .from(sql.id<FuzzTables['customers']>('customers').as('c'))
      .set({ status: (eb) => eb.ref('c.marker') })
      .where('orders.id', '=', 1)
      .where('c.id', '=', 2)
      .returning('c.marker')
      .execute(),
  ),
  attempt('UPDATE FROM', (db) =>
    db
      .updateTable('orders')
      .from('customers as c')
      .set({ status: (eb) => eb.ref('c.marker') })
      .where('orders.id', '=', 1)
      .where('c.id', '=', 2)
      .returning('c.marker')
      .execute(),
  ),
  attempt('UPDATE FROM a right join', (db) =>
    db
      .updateTable('orders')
      .from('regions as r')
      .rightJoin('customers as c', 'c.region', 'r.code')
      .set({ status: 'owned' })
      .where('orders.id', '=', 1)
      .returning(['c.marker', 'orders.marker as own'])
      .execute(),
  ),
  attempt('UPDATE with a subquery', (db, victim) =>
    db
      .updateTable('orders')
      .set({
        status: (eb) =>
          sql<string>`${eb.selectFrom('customers').select('marker').where('tenant_id', '=', victim).limit(1)}`,
      })
      .where('id', '=', 1)
      .returning('status')
      .execute(),
  ),
  attempt('UPDATE that gives away a row', (db, victim, attacker) =>
    db
      .updateTable('events')
      .set({ tenant_id: victim, id: 99 })
      .where('id', '=', 1)
      .where('tenant_id', '=', attacker)
      .execute(),
  ),
  attempt('UPDATE that gives away a row by an expression', (db, victim, attacker) =>
    db
      .updateTable('events')
      .set({ tenant_id: sql<string>`${victim}::uuid`, id: 98 })
      .where('id', '=', 1)
      .where('tenant_id', '=', attacker)
      .execute(),
  ),
  attempt('DELETE', (db) => db.deleteFrom('lines').returning('marker').execute()),
  attempt('DELETE of the victim', (db, victim) =>
    db.deleteFrom('lines').where('tenant_id', '=', victim).execute(),
  ),
  attempt('DELETE FROM sql.ref', (db) =>
    db.deleteFrom(sql.ref<FuzzTables['lines']>('lines').as('l')).returning('marker').execute(),
  ),
  attempt('DELETE USING sql.id', (db) =>
    db
      .deleteFrom('events')
      .using(sql.id<FuzzTables['orders']>('orders').as('o'))
      .whereRef('o.id', '=', 'events.id')
      .returning(['o.marker', 'events.marker as own'])
      .execute(),
  ),
  attempt('DELETE USING', (db) =>
    db
      .deleteFrom('events')
      .using('orders as o')
      .whereRef('o.id', '=', 'events.id')
      .returning(['o.marker', 'events.marker as own'])
      .execute(),
  ),
  attempt('DELETE USING a full join', (db) =>
    db
      .deleteFrom('events')
      .using('orders as o')
      .fullJoin('customers as c', 'c.id', 'o.customer_id')
      .where('events.id', '=', 1)
      .returning(['o.marker', 'c.marker as other'])
      .execute(),
  ),
  attempt('INSERT', (db, victim) =>
    db
      .insertInto('events')
      .values({ tenant_id: victim, id: 97, day: '2026-01-01', kind: 'planted' })
      .execute(),
  ),
  attempt('INSERT of several rows', (db, victim, attacker) =>
    db
      .insertInto('events')
      .values([
        { tenant_id: attacker, id: 96, day: '2026-01-01', kind: 'own' },
        { tenant_id: victim, id: 96, day: '2026-01-01', kind: 'planted' },
        { id: 95, day: '2026-01-01', kind: 'planted' },
      ])
      .execute(),
  ),
  attempt('INSERT of an expression', (db, victim) =>
    db
      .insertInto('events')
      .values({ tenant_id: sql<string>`${victim}::uuid`, id: 94, day: '2026-01-01', kind: 'planted' })
      .execute(),
  ),
  attempt('INSERT with a subquery', (db, victim) =>
    db
      .insertInto('events')
      .values({
        id: 93,
        day: '2026-01-01',
        kind: (eb) =>
          sql<string>`${eb.selectFrom('customers').select('marker').where('tenant_id', '=', victim).limit(1)}`,
      })
      .returning('kind')
      .execute(),
  ),
  attempt('INSERT from a query', (db, victim) =>
    db
      .insertInto('events')
      .columns(['tenant_id', 'id', 'day', 'kind'])
      .expression((eb) =>
        eb
          .selectFrom('orders')
          .select([sql<string>`${victim}::uuid`.as('t'), sql<number>`92`.as('id'), 'placed_on', 'marker'])
          .limit(1),
      )
      .execute(),
  ),
  attempt('INSERT from a query of the victim', (db) =>
    db
      .insertInto('events')
      .columns(['id', 'day', 'kind'])
      .expression((eb) =>
        eb
          .selectFrom('customers')
          .select([
            sql<number>`100 + row_number() over ()`.as('id'),
            sql<string>`date '2026-01-01'`.as('day'),
            'marker',
          ]),
      )
      .returning('kind')
      .execute(),
  ),
  attempt('INSERT from a union with the victim', (db) =>
    db
      .insertInto('events')
      .columns(['id', 'day', 'kind'])
      .expression((eb) =>
        eb
          .selectFrom('orders')
          .select([sql<number>`200`.as('id'), sql<string>`date '2026-01-01'`.as('day'), 'marker as kind'])
          .union(
            eb
              .selectFrom('orders')
              .select([
                sql<number>`201`.as('id'),
                sql<string>`date '2026-01-02'`.as('day'),
                'marker as kind',
              ]),
          ),
      )
      .onConflict((conflict) => conflict.doNothing())
      .returning('kind')
      .execute(),
  ),
  attempt('INSERT that takes every column of a query', (db, victim) =>
    db
      .insertInto('events')
      .columns(['tenant_id', 'id', 'day', 'kind'])
      .expression((eb) =>
        eb
          .selectFrom(
            sql<{ t: string }>`(values (${victim}::uuid, 91, date '2026-01-01', 'planted'))`.as<'x'>(
              sql`x(t, id, day, kind)`,
            ),
          )
          .selectAll(),
      )
      .execute(),
  ),
  attempt('ON CONFLICT DO UPDATE of the victim', (db, victim) =>
    db
      .insertInto('customers')
      .values({ tenant_id: victim, id: 1, name: 'owned' })
      .onConflict((conflict) => conflict.columns(['tenant_id', 'id']).doUpdateSet({ name: 'owned' }))
      .returning('marker')
      .execute(),
  ),
  attempt('ON CONFLICT DO UPDATE that gives away a row', (db, victim) =>
    db
      .insertInto('events')
      .values({ id: 1, day: '2025-12-29', kind: 'own' })
      .onConflict((conflict) =>
        conflict.columns(['tenant_id', 'id', 'day']).doUpdateSet({ tenant_id: victim, id: 90 }),
      )
      .execute(),
  ),
  attempt('MERGE into the victim', (db) =>
    db
      .mergeInto('events as e')
      .using('regions as r', (join) => join.on(sql<boolean>`r.rank = e.id and r.code <> 'w'`))
      .whenMatched()
      .thenUpdateSet({ kind: 'owned' })
      .returning('e.marker')
      .execute(),
  ),
  attempt('MERGE that deletes', (db) =>
    db
      .mergeInto('events as e')
      .using('regions as r', (join) => join.on(sql<boolean>`r.rank = e.id and r.code <> 'w'`))
      .whenMatched()
      .thenDelete()
      .execute(),
  ),
  attempt('MERGE by source', (db) =>
    db
      .mergeInto('events as e')
      .using('regions as r', (join) => join.on(sql<boolean>`false`))
      .whenNotMatchedBySourceAnd(({ or, eb }) => or([eb('e.id', '>', 0), eb('e.id', '<', 0)]))
      .thenDelete()
      .execute(),
  ),
  attempt('MERGE by source without a condition', (db) =>
    db
      .mergeInto('events as e')
      .using('regions as r', (join) => join.on(sql<boolean>`false`))
      .whenNotMatchedBySource()
      .thenUpdateSet({ kind: 'owned' })
      .execute(),
  ),
  attempt('MERGE from the victim', (db, victim) =>
    db
      .mergeInto('events as e')
      .using('customers as c', (join) => join.on(sql<boolean>`e.id = 80 + c.id`))
      .whenNotMatchedAnd(sql<boolean>`c.tenant_id = ${victim}::uuid`)
      .thenInsertValues({
        id: sql<number>`80 + c.id`,
        day: '2027-01-01',
        kind: sql<string>`c.marker`,
      })
      .returning('e.kind')
      .execute(),
  ),
  attempt('MERGE that inserts for the victim', (db, victim) =>
    db
      .mergeInto('events as e')
      .using('regions as r', (join) => join.on(sql<boolean>`false`))
      .whenNotMatchedAnd('r.code', '=', 'n')
      .thenInsertValues({ tenant_id: victim, id: 89, day: '2027-01-01', kind: 'planted' })
      .execute(),
  ),
  attempt('a WITH that writes', (db) =>
    db
      .with('gone', (eb) => eb.deleteFrom('events').returning('marker'))
      .selectFrom('gone')
      .selectAll()
      .execute(),
  ),
  attempt('a WITH that writes, beside a write', (db, victim) =>
    db
      .with('gone', (eb) => eb.updateTable('orders').set({ status: 'owned' }).returning(['id', 'marker']))
      .insertInto('events')
      .columns(['tenant_id', 'id', 'day', 'kind'])
      .expression((eb) =>
        eb
          .selectFrom('gone')
          .select([
            sql<string>`${victim}::uuid`.as('t'),
            sql<number>`88`.as('id'),
            sql<string>`'2026-01-01'::date`.as('d'),
            'gone.marker',
          ])
          .limit(1),
      )
      .execute(),
  ),
]

/** What is written by hand is read by the database alone. */
export const RAW: readonly Attempt[] = [
  attempt('a raw query', (db) => sql`select * from customers`.execute(db)),
  attempt('a raw table', (db) =>
    db.selectFrom(sql<{ marker: string }>`(select marker from customers)`.as('c')).selectAll().execute(),
  ),
  attempt('a name after text', (db) =>
    db
      .selectFrom(sql<{ marker: string }>`only ${sql.table('customers')}`.as('c'))
      .selectAll()
      .execute(),
  ),
  attempt('a raw update', (db) => sql`update orders set status = 'owned'`.execute(db)),
]
