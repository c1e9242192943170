import { type Compilable, type QueryCreator, type SqlBool, sql } from 'kysely'
import { condition } from './expressions.ts'
import { type Column, deeper, eb, type Loose, type Scope } from './scope.ts'
import { TENANT_TABLES } from './tables.ts'
import { insert, merge, remove, update } from './writes.ts'

export interface Made {
  readonly query: Compilable
  /** Whether its rows come in one order only. */
  readonly ordered: boolean
}

/** Any statement. */
export function statement(scope: Scope): Made {
  const { random } = scope
  const kind = random.int(1, 100)
  if (kind <= 5) return recursive(scope)
  if (kind <= 9) return writingExpression(scope)
  if (kind <= 12) return raw(scope)
  if (kind <= 14) return locking(scope)
  if (kind <= 15) return { query: scope.db.selectFrom('orders').select('no_such_column'), ordered: true }
  const here = random.chance(0.25) ? withExpressions(scope) : scope
  if (kind <= 60) return scope.select(here)
  return { query: write(here), ordered: false }
}

function write(scope: Scope): Compilable {
  const { random } = scope
  const table = random.pick(TENANT_TABLES)
  return random.one(
    () => insert(scope, table),
    () => insert(scope, table),
    () => update(scope, table),
    () => update(scope, table),
    () => remove(scope, table),
    () => merge(scope),
  )
}

/** WITH, now and then by the name of a table, which it hides from what follows. */
function withExpressions(scope: Scope): Scope {
  const { random } = scope
  let from: QueryCreator<Loose> = scope.db
  let ctes: ReadonlyMap<string, readonly Column[]> = scope.ctes
  const names = ['x1', random.pick(['x2', 'orders', 'customers', 'lines'])]
  for (const name of random.some(names)) {
    const body = scope.select(deeper(scope, { ctes }))
    from = random.chance(0.2)
      ? from.with(
          (cte) => cte(name).materialized(),
          () => body.query,
        )
      : from.with(name, () => body.query)
    ctes = new Map([...ctes, [name, body.columns]])
  }
  return { ...scope, from, ctes }
}

function recursive(scope: Scope): Made {
  const { random, db } = scope
  const visible = [{ ref: 'b.total', name: 'total', type: 'integer' } as const]
  const query = db
    .withRecursive('r(depth, id)', () =>
      db
        .selectFrom('orders as a')
        .select([sql`1`.as('depth'), 'a.id'])
        .where('a.id', '<=', random.int(1, 4))
        .unionAll(
          db
            .selectFrom('r')
            .innerJoin('orders as b', (to) => to.on(sql<SqlBool>`b.id = r.id + ${random.int(1, 3)}::integer`))
            .select([sql`r.depth + 1`.as('depth'), 'b.id'])
            .where('r.depth', '<', random.int(2, 4))
            .where(condition(deeper(scope, { visible, depth: 1 }))),
        ),
    )
    .selectFrom('r')
    .leftJoin('customers as c', 'c.id', 'r.id')
    .select(['r.depth', 'r.id', 'c.name', 'c.marker'])
    .orderBy('r.depth')
    .orderBy('r.id')
  return { query, ordered: true }
}

/** A write whose rows go on: into another table, or just out. */
function writingExpression(scope: Scope): Made {
  const { random, db } = scope
  const ids = random.times(2, () => random.int(1, 14))
  const from = random.one<QueryCreator<Loose>>(
    () =>
      db.with('gone', () =>
        db.deleteFrom('lines').where('order_id', 'in', ids).returning(['order_id as id', 'product as text']),
      ),
    () =>
      db.with('gone', () =>
        db
          .updateTable('lines')
          .set({ price: sql`coalesce(price, 1) % 40` })
          .where('order_id', 'in', ids)
          .returning(['order_id as id', 'product as text']),
      ),
    () =>
      db.with('gone', () =>
        db
          .insertInto('events')
          .values({ id: ids[0], day: '2026-01-03', kind: 'made' })
          .onConflict((conflict) => conflict.doNothing())
          .returning(['id', 'kind as text']),
      ),
  )
  if (random.chance(0.5)) {
    const query = from
      .selectFrom('gone')
      .leftJoin('orders as o', 'o.id', 'gone.id')
      .select(['gone.id', 'gone.text', 'o.status', 'o.marker'])
      .orderBy('gone.id')
      .orderBy('gone.text')
    return { query, ordered: true }
  }
  const query = from
    .insertInto('customers')
    .columns(['id', 'name'])
    .expression(
      db
        .selectFrom('gone')
        .select(['gone.id', eb.fn.max('gone.text').as('name')])
        .groupBy('gone.id'),
    )
    .onConflict((conflict) => conflict.columns(['tenant_id', 'id']).doUpdateSet({ tier: 'pro' }))
    .returningAll()
  return { query, ordered: false }
}

/** SQL written by hand, with a query in it that was not. */
function raw(scope: Scope): Made {
  const { random } = scope
  const { query, columns } = scope.select(deeper(scope))
  const first = columns[0]?.name ?? 'c0'
  const made = random.one(
    () => sql`select count(*) as n, min(o.marker) as m from orders o where ${scope.byHand('o')}
        and o.id in (select k from generate_series(1, ${random.int(3, 20)}::integer) k)`,
    () => sql`select count(*) as n, count(${sql.ref(`q.${first}`)}) as m from ${query} as q`,
    () => sql`update customers as w set credit = abs(coalesce(w.credit, 3)) % 40
        where ${scope.byHand('w')} and w.id = ${random.int(1, 9)} returning w.id, w.marker`,
    () => sql`insert into events (tenant_id, id, day, kind) values (${scope.tenant}, ${random.int(1, 9)},
        '2026-02-01', 'raw') on conflict do nothing returning id, marker`,
  )
  return { query: { compile: () => made.compile(scope.db) }, ordered: false }
}

function locking({ random, db }: Scope): Made {
  const query = db
    .selectFrom('orders as o')
    .innerJoin('customers as c', 'c.id', 'o.customer_id')
    .select(['o.id', 'c.id as customer', 'c.marker'])
    .where('o.id', '<', random.int(2, 15))
    .orderBy('o.id')
  return {
    query: random.one(
      () => query.forUpdate(),
      () => query.forUpdate(['o']).skipLocked(),
      () => query.forShare(['c']),
    ),
    ordered: true,
  }
}
