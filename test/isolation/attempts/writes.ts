import { sql } from 'kysely'
import type { FuzzTables } from '../fuzz/tables.ts'
import { type Attempt, attempt } from './attempt.ts'

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
