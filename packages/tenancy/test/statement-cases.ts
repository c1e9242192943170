import type { TenantId } from '@freehold/contract'
import { copyFrom, copyInto, type FreeholdDatabase } from '@freehold/tenancy'
import { CamelCasePlugin, CompiledQuery, type Kysely, sql, type Transaction } from 'kysely'
import { jsonArrayFrom, jsonBuildObject, jsonObjectFrom } from 'kysely/helpers/postgres'
import type { TestDatabase } from '../../../test/kit/tenants.ts'

export interface Inhabitant {
  readonly id: TenantId
  /** In every value that a row of it has. */
  readonly mark: string
  readonly home: TestDatabase
  readonly schema: string
  /** Its instance, or a new one when that has been destroyed. */
  instance(): Kysely<FreeholdDatabase>
}

type Case = (db: Kysely<FreeholdDatabase>, me: Inhabitant, other: Inhabitant) => Promise<unknown>

const all = (db: Kysely<FreeholdDatabase>) => db.selectFrom('items').selectAll().orderBy('id')

export async function collected<T>(chunks: AsyncIterable<T>): Promise<T[]> {
  const found = []
  for await (const chunk of chunks) found.push(chunk)
  return found
}

const inTransaction = (
  db: Kysely<FreeholdDatabase>,
  work: (trx: Transaction<FreeholdDatabase>) => Promise<unknown>,
) => db.transaction().execute(work)

/** Every way of running a statement: each is given the rows 1, 2 and 3, and returns what it has seen. */
export const CASES: Record<string, Case> = {
  execute: (db) => all(db).execute(),
  executeTakeFirst: (db) => all(db).executeTakeFirst(),
  executeTakeFirstOrThrow: (db) => all(db).executeTakeFirstOrThrow(),
  stream: (db) => collected(all(db).stream(1)),
  'a stream left early': async (db) => {
    for await (const row of all(db).stream(1)) return row
    return 'no row'
  },
  'transaction()': (db) => inTransaction(db, (trx) => all(trx).execute()),
  'a stream in a transaction': (db) => inTransaction(db, (trx) => collected(all(trx).stream(2))),
  'a read-only transaction': (db) =>
    db
      .transaction()
      .setAccessMode('read only')
      .execute((trx) => all(trx).execute()),
  'serializable transaction': (db) =>
    db
      .transaction()
      .setIsolationLevel('serializable')
      .execute((trx) => all(trx).execute()),
  'startTransaction() and savepoints': async (db) => {
    const trx = await db.startTransaction().execute()
    const one = await trx.savepoint('one').execute()
    await one.deleteFrom('items').execute()
    const back = await one.rollbackToSavepoint('one').execute()
    const seen = await all(back).execute()
    const two = await back.savepoint('two').execute()
    await two.updateTable('items').set({ quantity: 5 }).execute()
    await two.releaseSavepoint('two').execute()
    await trx.commit().execute()
    return [seen, await all(db).execute()]
  },
  'startTransaction() rolled back': async (db) => {
    const trx = await db.startTransaction().execute()
    await trx.deleteFrom('items').execute()
    await trx.rollback().execute()
    return all(db).execute()
  },
  'connection()': (db) =>
    db.connection().execute(async (bound) => [await all(bound).execute(), await all(bound).execute()]),
  'a transaction on connection()': (db) =>
    db.connection().execute((bound) => bound.transaction().execute((trx) => all(trx).execute())),
  'sql.raw': async (db) => (await sql.raw('select * from items order by id').execute(db)).rows,
  'sql with refs and tables': async (db) =>
    (
      await sql`select ${sql.ref('items.name')} from ${sql.table('items')} order by ${sql.id('id')}`.execute(
        db,
      )
    ).rows,
  'sql insert': async (db, { mark }) =>
    (await sql`insert into items (id, name) values (4, ${mark}) returning *`.execute(db)).rows,
  'an unknown function': async (db) =>
    (await sql`select name, pg_sleep(0)::text from items order by id`.execute(db)).rows,
  'executeQuery of a compiled query': async (db) => (await db.executeQuery(all(db).compile())).rows,
  'CompiledQuery.raw': async (db) =>
    (await db.executeQuery(CompiledQuery.raw('select * from items order by id'))).rows,
  'insert returning': (db, { mark }) =>
    db
      .insertInto('items')
      .values([
        { id: 4, name: mark },
        { id: 5, name: mark },
      ])
      .returningAll()
      .execute(),
  'insert from select': (db) =>
    db
      .insertInto('items')
      .columns(['id', 'name'])
      .expression((eb) =>
        eb.selectFrom('items').select(({ ref, eb }) => [eb(ref('id'), '+', 10).as('id'), 'name']),
      )
      .returning(['id', 'name'])
      .execute(),
  'upsert that updates': (db, { mark }) =>
    db
      .insertInto('items')
      .values([
        { id: 1, name: `${mark}!` },
        { id: 9, name: mark },
      ])
      .onConflict((oc) =>
        oc.columns(['tenant_id', 'id']).doUpdateSet((eb) => ({ name: eb.ref('excluded.name') })),
      )
      .returningAll()
      .execute(),
  'upsert that does nothing': async (db, { mark }) => [
    await db
      .insertInto('items')
      .values([
        { id: 1, name: 'x' },
        { id: 9, name: mark },
      ])
      .onConflict((oc) => oc.doNothing())
      .returningAll()
      .execute(),
    await all(db).execute(),
  ],
  'update returning': (db) => db.updateTable('items').set({ quantity: 7 }).returningAll().execute(),
  'update from': (db) =>
    db
      .updateTable('items')
      .from('items as i')
      .whereRef('i.id', '=', 'items.id')
      .set((eb) => ({ quantity: eb.ref('i.id') }))
      .returning(['items.id', 'items.name', 'i.quantity'])
      .execute(),
  'update by a subquery': (db) =>
    db
      .updateTable('items')
      .set({ quantity: 1 })
      .where('id', 'in', (eb) => eb.selectFrom('items').select('id'))
      .returningAll()
      .execute(),
  'delete returning': (db) => db.deleteFrom('items').where('id', '>', 1).returningAll().execute(),
  'delete using': (db) =>
    db
      .deleteFrom('items')
      .using('items as i')
      .whereRef('i.id', '=', 'items.id')
      .returning(['items.id', 'i.name'])
      .execute(),
  merge: async (db, { mark }) => {
    await db
      .mergeInto('items')
      .using(sql<{ id: number }>`(values (1), (2), (20))`.as<'given'>(sql`given(id)`), (join) =>
        join.onRef('given.id', '=', 'items.id'),
      )
      .whenMatched()
      .thenUpdateSet({ quantity: 3 })
      .whenNotMatched()
      .thenInsertValues(({ ref }) => ({ id: ref('given.id'), name: mark }))
      .execute()
    return all(db).execute()
  },
  'a common table expression that writes': (db, { mark }) =>
    db
      .with('added', (db) => db.insertInto('items').values({ id: 4, name: mark }).returningAll())
      .with('gone', (db) => db.deleteFrom('items').where('id', '=', 1).returningAll())
      .selectFrom('added')
      .selectAll()
      .unionAll((eb) => eb.selectFrom('gone').selectAll())
      .unionAll((eb) => eb.selectFrom('items').selectAll())
      .execute(),
  'a recursive one': (db) =>
    db
      .withRecursive('walk', (db) =>
        db
          .selectFrom('items')
          .select(['id', 'name'])
          .where('id', '=', 1)
          .unionAll((eb) =>
            eb
              .selectFrom('items')
              .innerJoin('walk', (join) => join.on(sql<boolean>`items.id = walk.id + 1`))
              .select(['items.id', 'items.name']),
          ),
      )
      .selectFrom('walk')
      .selectAll()
      .execute(),
  'set operations': (db) =>
    db
      .selectFrom('items')
      .select('name')
      .union((eb) => eb.selectFrom('items').select('name'))
      .except((eb) => eb.selectFrom('items').select('name').where('id', '>', 5))
      .execute(),
  'joins and laterals': (db) =>
    db
      .selectFrom('items as a')
      .leftJoin('items as b', 'b.id', 'a.id')
      .innerJoinLateral(
        (eb) =>
          eb
            .selectFrom('items as c')
            .select('c.name as cname')
            .whereRef('c.id', '>=', 'a.id')
            .limit(1)
            .as('c'),
        (join) => join.onTrue(),
      )
      .select(['a.id', 'b.name', 'c.cname'])
      .orderBy('a.id')
      .execute(),
  'group by and windows': (db) =>
    db
      .selectFrom('items')
      .select(({ fn }) => [
        'name',
        fn
          .countAll()
          .over((o) => o.partitionBy('name'))
          .as('n'),
      ])
      .distinctOn('name')
      .execute(),
  aggregates: (db) =>
    db
      .selectFrom('items')
      .select(({ fn }) => [
        fn.countAll().as('n'),
        fn.max('name').as('name'),
        fn.agg<string[]>('array_agg', ['name']).as('names'),
      ])
      .execute(),
  'for update': (db) => inTransaction(db, (trx) => all(trx).forUpdate().skipLocked().execute()),
  jsonArrayFrom: (db) =>
    db
      .selectNoFrom((eb) =>
        jsonArrayFrom(eb.selectFrom('items').select(['id', 'name']).orderBy('id')).as('list'),
      )
      .execute(),
  jsonObjectFrom: (db) =>
    db
      .selectFrom('items as a')
      .select((eb) => [
        'a.id',
        jsonObjectFrom(
          eb.selectFrom('items as b').select(['b.id', 'b.name']).whereRef('b.id', '=', 'a.id'),
        ).as('same'),
      ])
      .orderBy('a.id')
      .execute(),
  jsonBuildObject: (db) =>
    db
      .selectFrom('items')
      .select((eb) => jsonBuildObject({ id: eb.ref('id'), name: eb.ref('name') }).as('built'))
      .orderBy('id')
      .execute(),
  'dynamic refs and tables': async (db) => {
    const { ref, table } = db.dynamic
    return db
      .selectFrom(table('items').as('i'))
      .select([ref<'id'>('i.id'), ref<'name'>('i.name')])
      .orderBy(ref('i.id'))
      .execute()
  },
  'withSchema of its own': (db, { schema }) => all(db.withSchema(schema)).execute(),
  'withSchema of the other': async (db, { mark }, other) => {
    const found = await all(db.withSchema(other.schema)).execute()
    return found.length === 0 ? [mark] : found.filter((row) => row.name !== mark || other.schema === 'public')
  },
  '$call and $if': (db) =>
    all(db)
      .$call((query) => query.where('id', '>', 1))
      .$if(true, (query) => query.limit(1))
      .execute(),
  withPlugin: (db) => {
    const camel = db
      .withPlugin(new CamelCasePlugin())
      .withTables<{ items: { tenantId: string; name: string } }>()
    return camel.selectFrom('items').select(['tenantId', 'name']).execute()
  },
  withoutPlugins: (db) => all(db.withPlugin(new CamelCasePlugin()).withoutPlugins()).execute(),
  withTables: (db) =>
    db
      .withTables<{ other: { id: number } }>()
      .with('other', (db) => db.selectFrom('items').selectAll())
      .selectFrom('other')
      .selectAll()
      .execute(),
  'a signal': async (db) => {
    const early = await all(db)
      .execute({ signal: AbortSignal.abort(new Error('early')) })
      .catch(String)
    const signal = AbortSignal.timeout(60_000)
    return [
      early,
      await all(db).execute({ signal }),
      await collected(all(db).stream({ chunkSize: 1, signal })),
    ]
  },
  'a signal on the way': async (db) => {
    const late = new AbortController()
    const slow = db
      .selectFrom('items')
      .select(['name', sql`pg_sleep(0.05)`.as('slept')])
      .execute({ signal: late.signal })
    late.abort(new Error('late'))
    const reason = await slow.catch(String)
    return [reason, await all(db).execute()]
  },
  explain: async (db, { mark }) => {
    const plans = [
      await all(db).explain('json'),
      await all(db).explain('json', sql`analyze`),
      await db.updateTable('items').set({ quantity: 9 }).explain(),
    ]
    return plans.every((plan) => plan.length > 0) ? [mark] : plans
  },
  introspection: async (db, { mark, schema }, other) => {
    const tables = await db.introspection.getTables()
    const schemas = (await db.introspection.getSchemas()).map(({ name }) => name)
    const seen = [...tables.map((table) => table.schema), ...schemas]
    const foreign = seen.filter((name) => /^own_|^freehold/.test(name ?? '') && name !== schema)
    const own = tables.find((table) => table.schema === schema && table.name === 'items')
    return [
      mark,
      foreign,
      own?.columns.map(({ name }) => name),
      schemas.includes(schema),
      other.schema === schema,
    ]
  },
  'introspection of rows': async (db) =>
    (await sql`select most_common_vals::text from pg_stats where tablename = 'items'`.execute(db)).rows
      .length === 0
      ? all(db).execute()
      : 'statistics are shown',
  copyInto: async (db, { mark }) => {
    await copyInto(db, 'items', ['id', 'name'], [[30, mark]])
    return all(db).execute()
  },
  copyFrom: async (db) => Buffer.concat(await collected(copyFrom(db, all(db)))).toString(),
  'a failing statement': async (db) => [
    await sql`select 1 / (id - id) from items`.execute(db).catch(String),
    await all(db).execute(),
  ],
  'a destroyed instance': async (db, { instance }) => {
    const before = await all(db).execute()
    await db.destroy()
    const after = await all(db).execute().catch(String)
    return [before, after, await all(instance()).execute()]
  },
}
