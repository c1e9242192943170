import { type Expression, type ExpressionWrapper, type SqlBool, sql } from 'kysely'
import { deeper, eb, type Scope, type Type, type Visible } from './scope.ts'

export type Value = Expression<unknown>
export type Condition = Expression<SqlBool>

const WORDS = ['new', 'paid', 'sent', 'free', 'pro', 'n', 's', 'customer 3', 'product 2', 'click', '']
const DAYS = ['2025-12-24', '2025-12-31', '2026-01-02', '2026-01-05']

/** A typed constant, as a parameter. */
export function constant({ random, tenant }: Scope, type: Type): Value {
  switch (type) {
    case 'integer':
      return sql`${random.int(0, 20)}::integer`
    case 'bigint':
      return sql`${random.int(0, 20)}::bigint`
    case 'text':
      return sql`${random.pick(WORDS)}::text`
    case 'date':
      return sql`${random.pick(DAYS)}::date`
    case 'boolean':
      return sql`${random.chance(0.5)}::boolean`
    case 'uuid':
      return sql`${tenant}::uuid`
    case 'jsonb':
    case 'json':
      return sql`${JSON.stringify({ n: random.int(0, 3) })}::jsonb`
  }
}

/** An expression of a type that never fails, whatever the rows are: plans differ in the order of what they compute. */
export function value(scope: Scope, type: Type): Value {
  const { random } = scope
  const own = scope.visible.filter((column) => column.type === type)
  if (own.length > 0 && random.chance(0.6)) return eb.ref(random.pick(own).ref)
  if (scope.depth < 2 && random.chance(0.12)) return scalarSubquery(scope, type)
  if (random.chance(0.3)) return constant(scope, type)
  return random.one(
    () => eb.fn.coalesce(anyOf(scope, type), constant(scope, type)),
    () => eb.case().when(condition(scope)).then(anyOf(scope, type)).else(constant(scope, type)).end(),
    () => sql`nullif(${anyOf(scope, type)}, ${constant(scope, type)})`,
    () => computed(scope, type),
  )
}

function anyOf(scope: Scope, type: Type): Value {
  const own = scope.visible.filter((column) => column.type === type)
  return own.length > 0 ? eb.ref(scope.random.pick(own).ref) : constant(scope, type)
}

function computed(scope: Scope, type: Type): Value {
  const { random } = scope
  switch (type) {
    case 'integer':
      return random.one<Value>(
        () => sql`(${anyOf(scope, 'integer')} * 3 % 17)`,
        () => sql`length(${anyOf(scope, 'text')})`,
        () => sql`(${anyOf(scope, 'integer')} - ${anyOf(scope, 'integer')})`,
      )
    case 'text':
      return random.one<Value>(
        () => eb.fn('upper', [anyOf(scope, 'text')]),
        () => sql`${anyOf(scope, 'text')} || ${random.pick(WORDS)}`,
        () => sql`(${anyOf(scope, 'jsonb')} ->> 'n')`,
      )
    case 'boolean':
      return sql`(${condition(scope)})`
    default:
      return anyOf(scope, type)
  }
}

function scalarSubquery(scope: Scope, type: Type): Value {
  if (type === 'jsonb' || type === 'json' || type === 'uuid') return anyOf(scope, type)
  const inner = scope.select(deeper(scope), { wanted: [type], one: true })
  return sql`(${inner.query})`
}

/** A condition that never fails, whatever the rows are. */
export function condition(scope: Scope): Condition {
  const { random } = scope
  if (scope.depth < 3 && random.chance(0.15)) {
    const nested = deeper(scope)
    return random.one<Condition>(
      () => eb.and([condition(nested), condition(nested)]),
      () => eb.or([condition(nested), condition(nested), condition(nested)]),
      () => eb.not(condition(nested)),
    )
  }
  if (scope.depth < 2 && random.chance(0.25)) return subqueryCondition(scope)
  if (scope.visible.length === 0) return sql<SqlBool>`${random.chance(0.8)}::boolean`
  return simpleCondition(scope, random.pick(scope.visible))
}

function simpleCondition(scope: Scope, column: Visible): Condition {
  const { random } = scope
  const ref: ExpressionWrapper<never, never, unknown> | Value = eb.ref(column.ref)
  const other = () => (random.chance(0.5) ? constant(scope, column.type) : anyOf(scope, column.type))
  if (column.type === 'json') return sql<SqlBool>`${ref} is not null`
  return random.one<Condition>(
    () => eb(ref, random.pick(['=', '<>', '<', '>=']), other()),
    () => eb(ref, 'is', null),
    () => eb(ref, 'is not', null),
    () => sql<SqlBool>`${ref} is not distinct from ${other()}`,
    // Without parentheses, as people write it.
    () => sql<SqlBool>`${ref} = ${other()} or ${ref} is null`,
    () => sql<SqlBool>`${ref} between ${constant(scope, column.type)} and ${other()}`,
    () =>
      eb(
        ref,
        'in',
        random.times(random.int(1, 3), () => constant(scope, column.type)),
      ),
    () =>
      column.type === 'text'
        ? eb(ref, 'like', `%${random.pick(['a', 'o', '3', 'p'])}%`)
        : eb(ref, '>', constant(scope, column.type)),
    () =>
      column.type === 'integer'
        ? eb(ref, '=', sql`any(${random.times(3, () => random.int(1, 12))}::integer[])`)
        : sql<SqlBool>`${ref} <> ${other()}`,
  )
}

function subqueryCondition(scope: Scope): Condition {
  const { random } = scope
  const type = random.pick(['integer', 'text', 'date'] as const)
  const inner = deeper(scope)
  return random.one<Condition>(
    () => eb.exists(scope.select(inner).query),
    () => eb.not(eb.exists(scope.select(inner).query)),
    () => eb(anyOf(scope, type), 'in', scope.select(inner, { wanted: [type] }).query),
    () => eb(anyOf(scope, type), 'not in', scope.select(inner, { wanted: [type] }).query),
    () => eb(anyOf(scope, type), '>', sql`(${scope.select(inner, { wanted: [type], one: true }).query})`),
    () => eb(anyOf(scope, 'integer'), '=', sql`any ${scope.select(inner, { wanted: ['integer'] }).query}`),
    () => sql<SqlBool>`exists (select from public.orders raw_o where ${scope.byHand('raw_o')}
      and raw_o.id = ${anyOf(scope, 'integer')})`,
    () => sql<SqlBool>`${anyOf(scope, 'integer')} < (select count(*) from public.lines raw_l
      join public.orders raw_p on raw_p.id = raw_l.order_id and ${scope.byHand('raw_p')} where ${scope.byHand('raw_l')})`,
  )
}
