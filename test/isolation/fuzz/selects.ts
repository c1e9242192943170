import { type AliasedExpression, sql } from 'kysely'
import { jsonArrayFrom, jsonBuildObject, jsonObjectFrom } from 'kysely/helpers/postgres'
import { condition, type Value, value } from './expressions.ts'
import { joined } from './joins.ts'
import {
  type Column,
  deeper,
  eb,
  type Query,
  type Scope,
  type Selected,
  type SelectOptions,
  type Type,
  type Visible,
} from './scope.ts'

const SORTABLE: readonly Type[] = ['integer', 'text', 'date', 'boolean', 'bigint', 'uuid', 'jsonb']

export function select(scope: Scope, options: SelectOptions = {}): Selected {
  const { random } = scope
  const from = joined(scope)
  const inside: Scope = { ...scope, visible: [...scope.visible, ...from.visible] }
  let query = from.query
  if (random.chance(0.6)) query = query.where(condition(inside))
  const wanted = options.wanted ?? random.times(random.int(1, 4), () => random.pick(SORTABLE))
  const grouping: Scope = { ...inside, visible: from.visible }
  if (options.one && random.chance(0.7)) return aggregated(grouping, query, wanted, [])
  if (random.chance(0.2)) {
    const keys = random.some(from.visible.filter(({ type }) => type !== 'json')).slice(0, 2)
    return finish(scope, aggregated(grouping, query, wanted, keys), options)
  }
  const columns = wanted.map((type, index) => ({ name: `c${index}`, type }))
  const selected: Selected = {
    query: query.select(columns.map(({ name, type }) => aliased(value(inside, type), name))),
    columns,
    ordered: false,
  }
  if (options.wanted) return finish(scope, selected, options)
  if (random.chance(0.12)) return windowed(inside, selected, from.visible)
  if (random.chance(0.1)) return withJson(inside, selected)
  return finish(scope, selected, options)
}

/** Set operations, DISTINCT, order and limit: what concerns the rows as a whole. */
function finish(scope: Scope, { query, columns }: Selected, { one }: SelectOptions): Selected {
  const { random } = scope
  const distinctOn = !one && random.chance(0.06)
  let whole = query
  if (distinctOn) whole = whole.distinctOn('c0')
  else if (random.chance(0.1)) whole = whole.distinct()
  else if (scope.depth < 2 && random.chance(0.12)) whole = setOperation(scope, whole, columns)
  if (!one && !distinctOn && random.chance(0.4)) return { query: whole, columns, ordered: false }
  // Rows that are equal in all columns are the same to everybody, so this is one order.
  whole = columns.reduce((sorted, { name }) => sorted.orderBy(name, random.pick(['asc', 'desc'])), whole)
  if (one) return { query: whole.limit(1), columns, ordered: true }
  if (random.chance(0.4)) whole = whole.limit(random.int(0, 6))
  if (random.chance(0.15)) whole = whole.offset(random.int(0, 3))
  return { query: whole, columns, ordered: true }
}

function setOperation(scope: Scope, query: Query, columns: readonly Column[]): Query {
  const wanted = columns.map(({ type }) => type)
  const other = eb.parens(select(deeper(scope, { depth: 3 }), { wanted }).query)
  return scope.random.one(
    () => query.union(other),
    () => query.unionAll(other),
    () => query.intersect(other),
    () => query.intersectAll(other),
    () => query.except(other),
    () => query.exceptAll(other),
  )
}

function aggregated(scope: Scope, query: Query, wanted: readonly Type[], keys: readonly Visible[]): Selected {
  const { random } = scope
  const columns = wanted.map((type, index) => ({ name: `c${index}`, type }))
  const selections = columns.map(({ name, type }) => {
    const same = keys.filter((key) => key.type === type)
    return aliased(
      same.length > 0 && random.chance(0.7) ? eb.ref(random.pick(same).ref) : aggregate(scope, type),
      name,
    )
  })
  let grouped = query.select(selections)
  if (keys.length > 0) grouped = grouped.groupBy(keys.map(({ ref }) => ref))
  if (random.chance(0.25)) grouped = grouped.having(eb.fn.countAll(), '>', random.int(0, 2))
  return { query: grouped, columns, ordered: keys.length === 0 }
}

function aggregate(scope: Scope, type: Type): Value {
  const { random } = scope
  const of = deeper(scope, { depth: 2 })
  switch (type) {
    case 'bigint':
      return random.one<Value>(
        () => eb.fn.countAll().filterWhere(condition(of)),
        () => eb.fn.count(value(of, 'text')).distinct(),
        () => sql`sum(${value(of, 'integer')})`,
      )
    case 'boolean':
      return random.one<Value>(
        () => sql`bool_or(${condition(of)})`,
        () => sql`every(${condition(of)})`,
      )
    case 'text':
      if (random.chance(0.5)) {
        const text = value(of, 'text')
        return sql`string_agg(${text}, ',' order by ${text})`
      }
      return random.pick([eb.fn.max, eb.fn.min])(value(of, 'text'))
    case 'integer':
    case 'date':
      return random.pick([eb.fn.max, eb.fn.min])(value(of, type))
    default: {
      const any = value(of, type)
      return sql`(array_agg(${any} order by ${any}))[1]`
    }
  }
}

/** A window over rows that are told apart by all that they have, or that treats equal rows alike. */
function windowed(scope: Scope, { query, columns }: Selected, rows: readonly Visible[]): Selected {
  const { random } = scope
  const sortable = rows.filter(({ type }) => type !== 'json').map(({ ref }) => sql.ref(ref))
  if (sortable.length === 0) return { query, columns, ordered: false }
  const partition = random.pick(sortable)
  const computed = random.one<Value>(
    () => sql`row_number() over (order by ${sql.join(sortable)})`,
    () => sql`rank() over (partition by ${partition} order by ${random.pick(sortable)})`,
    () =>
      sql`sum(${value(scope, 'integer')}) over (partition by ${partition} order by ${random.pick(sortable)})`,
    () => eb.fn.countAll().over((over) => over.partitionBy(random.pick(rows).ref)),
    () => sql`lag(${random.pick(sortable)}) over (order by ${sql.join(sortable)})`,
  )
  return { query: query.select(aliased(computed, 'w')), columns, ordered: false }
}

function withJson(scope: Scope, { query, columns }: Selected): Selected {
  const inner = select(deeper(scope), { wanted: ['integer', 'text'] })
  const built = scope.random.one<Value>(
    () => jsonArrayFrom(inner.ordered ? inner.query : inner.query.orderBy('c0').orderBy('c1')),
    () => jsonObjectFrom(select(deeper(scope), { wanted: ['integer', 'date'], one: true }).query),
    () => jsonBuildObject({ a: value(scope, 'integer'), b: value(scope, 'text') }),
  )
  return { query: query.select(aliased(built, 'j')), columns, ordered: false }
}

function aliased(expression: Value, name: string): AliasedExpression<unknown, string> {
  return eb.parens(expression).as(name)
}
