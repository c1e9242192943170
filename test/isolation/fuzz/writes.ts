import { type Compilable, type Expression, type SqlBool, sql } from 'kysely'
import { type Condition, condition, constant, value } from './expressions.ts'
import type { Random } from './random.ts'
import { columnsOf, deeper, eb, type Scope, type Type, visibleAs } from './scope.ts'
import type { TENANT_TABLES } from './tables.ts'

type Table = (typeof TENANT_TABLES)[number]
type Row = Record<string, unknown>

const KEYS: Readonly<Record<Table, readonly string[]>> = {
  customers: ['id'],
  orders: ['id'],
  lines: ['order_id', 'line_no'],
  events: ['id', 'day'],
}

/** What may be changed, and to what, so that only one thing about a statement can fail while rows are written. */
const SETTABLE: Readonly<Record<Table, Readonly<Record<string, Type>>>> = {
  customers: { name: 'text', tier: 'text', credit: 'integer' },
  orders: { status: 'text', total: 'integer', placed_on: 'date' },
  lines: { product: 'text', quantity: 'integer', price: 'integer' },
  events: { kind: 'text', payload: 'jsonb' },
}

/** Columns that are filled in or may not be null. */
const REQUIRED: ReadonlySet<string> = new Set(['name', 'product', 'kind', 'status', 'quantity'])

/** A row with a key that exists about as often as not. */
function row(random: Random, table: Table): Row {
  const day = () => random.pick(['2025-12-30', '2026-01-01', '2026-01-04'])
  switch (table) {
    case 'customers':
      return {
        id: random.int(1, 12),
        name: `new ${random.int(1, 9)}`,
        ...optional(random, {
          tier: random.pick(['free', 'pro', null]),
          credit: random.int(random.chance(0.1) ? -3 : 0, 60),
        }),
        ...optional(random, { region: random.pick(random.chance(0.1) ? ['nowhere'] : ['n', 's', null]) }),
      }
    case 'orders':
      return {
        id: random.int(1, 20),
        ...optional(random, { customer_id: random.pick([null, random.int(1, 9)]), status: 'made' }),
        ...optional(random, { total: random.int(0, 90), placed_on: day() }),
      }
    case 'lines':
      return {
        order_id: random.int(1, 15),
        line_no: random.int(1, 24),
        product: `product ${random.int(1, 5)}`,
        ...optional(random, { quantity: random.int(1, 5), price: random.pick([null, 3, 7]) }),
      }
    case 'events':
      return {
        id: random.int(1, 14),
        day: day(),
        kind: 'made',
        ...optional(random, { payload: JSON.stringify({ n: random.int(1, 5), kind: 'SelectQueryNode' }) }),
      }
  }
}

function optional(random: Random, fields: Row): Row {
  return random.chance(0.7) ? fields : {}
}

/** An expression for a column that may be changed; never null where the column may not be. */
function newValue(scope: Scope, column: string, type: Type): Expression<unknown> {
  if (column === 'credit') return sql`abs(${value(scope, type)}) % 50`
  if (type === 'integer') return sql`coalesce(${value(scope, type)}, 1) % 97`
  return REQUIRED.has(column) ? eb.fn.coalesce(value(scope, type), constant(scope, type)) : value(scope, type)
}

function changes(scope: Scope, table: Table): Row {
  const columns = scope.random.some(Object.entries(SETTABLE[table]))
  return Object.fromEntries(columns.map(([column, type]) => [column, newValue(scope, column, type)]))
}

/**
 * Mostly a few rows, so that there are some left for those that follow. In parentheses: an OR would undo what else is
 * asked of the rows, and of two rows beside one that is changed, either may be taken.
 */
function narrow(scope: Scope, table: Table, alias: string): Condition {
  const { random } = scope
  if (random.chance(0.12)) return eb.parens(condition(scope))
  const key = eb(
    eb.ref(`${alias}.${KEYS[table][0]}`),
    'in',
    random.times(2, () => random.int(1, 14)),
  )
  return random.chance(0.6) ? key : eb.and([key, eb.parens(condition(scope))])
}

const seeing = (scope: Scope, table: Table, alias: string): Scope => ({
  ...scope,
  depth: Math.max(scope.depth, 1),
  visible: visibleAs(alias, columnsOf(table)),
})

export function insert(scope: Scope, table: Table): Compilable {
  const { random } = scope
  const into = scope.from.insertInto(table)
  if (random.chance(0.02)) return into.defaultValues()
  let query = random.chance(0.35) ? insertSelected(scope, table) : insertRows(scope, table)
  const keys = ['tenant_id', ...KEYS[table]]
  const excluded = random
    .some(Object.keys(SETTABLE[table]))
    .map((column) => [column, eb.ref(`excluded.${column}`)] as const)
  query = random.one(
    () => query,
    () => query.onConflict((conflict) => conflict.doNothing()),
    () => query.onConflict((conflict) => conflict.columns(keys).doNothing()),
    () =>
      query.onConflict((conflict) =>
        conflict.columns(keys).doUpdateSet(changes(seeing(scope, table, table), table)),
      ),
    () => query.onConflict((conflict) => conflict.columns(keys).doUpdateSet(Object.fromEntries(excluded))),
    () =>
      query.onConflict((conflict) =>
        conflict
          .constraint(`${table}_pkey`)
          .doUpdateSet({ ...Object.fromEntries(excluded), tenant_id: eb.ref('excluded.tenant_id') })
          .where(condition(seeing(scope, table, table))),
      ),
  )
  return random.chance(0.5) ? query.returningAll() : query
}

function insertRows({ random, from, tenant }: Scope, table: Table) {
  const own = random.chance(0.2) ? { tenant_id: tenant } : {}
  return from
    .insertInto(table)
    .values(random.times(random.int(1, 3), () => ({ ...row(random, table), ...own })))
}

function insertSelected(scope: Scope, table: Table) {
  const { random } = scope
  const others = Object.entries(SETTABLE[table]).filter(
    ([column]) =>
      (REQUIRED.has(column) && column !== 'status' && column !== 'quantity') || random.chance(0.4),
  )
  const keys = KEYS[table].map((key) => [key, key === 'day' ? 'date' : 'integer'] as const)
  const columns: (readonly [string, Type])[] = [...keys, ...others]
  const selected = scope.select(deeper(scope), { wanted: columns.map(([, type]) => type) })
  const into = scope.from.insertInto(table)
  const own = random.chance(0.15)
  // In one order, so that of two rows with one key it is always the same that comes first.
  const values = columns.map(([column, type], index) => {
    const ref = eb.ref(`x.c${index}`)
    if (type === 'integer') return sql<unknown>`coalesce(abs(${ref}), 2) % 14`.as(column)
    return eb.fn.coalesce(ref, constant(scope, type)).as(column)
  })
  let query = scope.db.selectFrom(selected.query.as('x')).select(values)
  if (own) query = query.select(eb.val(scope.tenant).as('t'))
  for (const [column] of columns) query = query.orderBy(column)
  const named = [...columns.map(([column]) => column), ...(own ? ['tenant_id'] : [])]
  return into.columns(named).expression(query)
}

/** What stands beside the rows that are changed: at most one row for each of them. */
function beside(scope: Scope, table: Table, alias: string) {
  const other = scope.name('o')
  const real = (name: string) => (scope.ctes.has(name) || scope.random.chance(0.3) ? `public.${name}` : name)
  switch (table) {
    case 'customers': {
      const grouped = scope.db
        .selectFrom(`${real('orders')} as g`)
        .select(['g.customer_id as id', eb.fn.max('g.total').as('total')])
        .groupBy('g.customer_id')
      const columns = visibleAs(other, [{ name: 'total', type: 'integer' }])
      return { item: grouped.as(other), on: eb(eb.ref(`${other}.id`), '=', eb.ref(`${alias}.id`)), columns }
    }
    case 'orders':
      return {
        item: `${real('customers')} as ${other}`,
        on: eb(eb.ref(`${other}.id`), '=', eb.ref(`${alias}.customer_id`)),
        columns: visibleAs(other, columnsOf('customers')),
      }
    case 'lines':
    case 'events':
      return {
        item: `${real('orders')} as ${other}`,
        on: eb(eb.ref(`${other}.id`), '=', eb.ref(table === 'lines' ? `${alias}.order_id` : `${alias}.id`)),
        columns: visibleAs(other, columnsOf('orders')),
      }
  }
}

export function update(scope: Scope, table: Table): Compilable {
  const { random } = scope
  const alias = random.chance(0.5) ? 'w' : table
  const target = alias === table ? table : `${table} as ${alias}`
  const here = seeing(scope, table, alias)
  const own: Row = random.chance(0.1) ? { tenant_id: scope.tenant } : {}
  if (random.chance(0.4)) {
    const other = beside(scope, table, alias)
    const both = { ...here, visible: [...here.visible, ...other.columns] }
    const query = scope.from
      .updateTable(target)
      .from(other.item)
      .set({ ...changes(both, table), ...own })
      .where(other.on)
      .where(narrow(both, table, alias))
    return random.chance(0.5) ? query.returningAll(alias) : query
  }
  const query = scope.from
    .updateTable(target)
    .set({ ...changes(here, table), ...own })
    .where(narrow(here, table, alias))
  return random.chance(0.5) ? query.returning([`${alias}.marker`, `${alias}.${KEYS[table][0]}`]) : query
}

export function remove(scope: Scope, table: Table): Compilable {
  const { random } = scope
  const alias = random.chance(0.5) ? 'w' : table
  const target = alias === table ? table : `${table} as ${alias}`
  const here = seeing(scope, table, alias)
  if (random.chance(0.4)) {
    const other = beside(scope, table, alias)
    const both = { ...here, visible: [...here.visible, ...other.columns] }
    let query = scope.from
      .deleteFrom(target)
      .using(other.item)
      .where(other.on)
      .where(narrow(both, table, alias))
    if (random.chance(0.2)) query = query.leftJoin('regions as rg', (to) => to.on(sql<SqlBool>`rg.rank = 3`))
    return random.chance(0.5) ? query.returningAll(alias) : query
  }
  const query = scope.from.deleteFrom(target).where(narrow(here, table, alias))
  return random.chance(0.5) ? query.returningAll() : query
}

export function merge(scope: Scope): Compilable {
  const { random } = scope
  const table = random.pick(['customers', 'orders', 'lines'] as const)
  const other = random.chance(0.6) ? beside(scope, table, 'w') : listed(scope, table)
  const here = seeing(scope, table, 'w')
  const both = { ...here, visible: [...here.visible, ...other.columns] }
  const using = scope.from.mergeInto(`${table} as w`).using(other.item, (to) => to.on(other.on))
  const matched = random.chance(0.5) ? using.whenMatchedAnd(condition(both)) : using.whenMatched()
  // Whether a key is free for an insert would depend on whether its row has already been deleted.
  const deletes = random.chance(0.4)
  let query = deletes
    ? matched.thenDelete()
    : random.one(
        () => matched.thenUpdateSet(changes(both, table)),
        () => matched.thenDoNothing(),
      )
  if (!deletes && random.chance(0.5)) query = query.whenNotMatched().thenInsertValues(row(random, table))
  if (random.chance(0.3)) {
    const bySource = query.whenNotMatchedBySourceAnd(narrow(here, table, 'w'))
    query = deletes ? bySource.thenDelete() : bySource.thenUpdateSet(changes(here, table))
  }
  return random.chance(0.3) ? query.returning(['w.marker']) : query
}

/** Rows that stand in the statement itself. */
function listed({ random, name }: Scope, table: Table) {
  const other = name('o')
  const first = random.int(1, 14)
  return {
    item: sql`(values (${first}::integer), (${first + random.int(1, 5)}::integer))`.as<string>(
      sql`${sql.ref(other)}(k)`,
    ),
    on: eb(eb.ref(`${other}.k`), '=', eb.ref(`w.${KEYS[table].at(-1)}`)),
    columns: visibleAs(other, [{ name: 'k', type: 'integer' }]),
  }
}
