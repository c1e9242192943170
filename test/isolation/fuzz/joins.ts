import { type ExpressionWrapper, sql } from 'kysely'
import { type Condition, condition } from './expressions.ts'
import { eb, type Loose, type Query, type Scope, type Type, type Visible } from './scope.ts'
import { type Source, source } from './sources.ts'

export interface Joined {
  readonly query: Query
  readonly sources: readonly Source[]
  readonly visible: readonly Visible[]
}

const JOINED_BY: readonly Type[] = ['integer', 'bigint', 'text', 'date']
const KINDS = ['inner', 'inner', 'left', 'left', 'right', 'full', 'cross', 'comma'] as const

/** One to three sources, joined in any way. */
export function joined(scope: Scope): Joined {
  const { random } = scope
  const first = source(scope)
  const sources = [first]
  let visible = [...first.columns]
  // A comma binds less than a join, whose condition then cannot see what stands before it.
  if (random.chance(0.08)) {
    const second = source(scope)
    const query = scope.from
      .selectFrom([first.item, second.item])
      .where(equal(scope, visible, second.columns))
    return { query, sources: [first, second], visible: [...visible, ...second.columns] }
  }
  let query: Query = scope.from.selectFrom(first.item)
  for (let more = random.pick([0, 0, 1, 1, 2]); more > 0; more--) {
    const next = source(scope, visible)
    query = join(scope, query, next, visible)
    sources.push(next)
    visible = [...visible, ...next.columns]
  }
  return { query, sources, visible }
}

function join(scope: Scope, query: Query, next: Source, before: readonly Visible[]): Query {
  const { random } = scope
  const here = { ...scope, visible: [...before, ...next.columns] }
  const equality = equal(scope, before, next.columns)
  const on = () =>
    random.chance(0.35) ? eb.and([equality, condition({ ...here, depth: scope.depth + 2 })]) : equality
  if (next.lateral) {
    if (random.chance(0.3)) return query.crossJoinLateral(next.item)
    return random.chance(0.5)
      ? query.innerJoinLateral(next.item, (to) => to.on(on()))
      : query.leftJoinLateral(next.item, (to) => to.on(on()))
  }
  switch (random.pick(KINDS)) {
    case 'inner':
      return query.innerJoin(next.item, (to) => to.on(on()))
    case 'left':
      return query.leftJoin(next.item, (to) => to.on(on()))
    case 'right':
      return query.rightJoin(next.item, (to) => to.on(on()))
    case 'full':
      // The server wants a condition that it can merge or hash by.
      return query.fullJoin(next.item, (to) => to.on(equality))
    default: {
      const crossed: Query = query.crossJoin(next.item)
      return crossed.where(equality)
    }
  }
}

/** An equality of columns of the same type, of ids if there are any. */
function equal(scope: Scope, left: readonly Visible[], right: readonly Visible[]): Condition {
  const { random } = scope
  // Not columns that are the same in all rows: joins of three such tables are thousands of rows.
  const comparable = (list: readonly Visible[]) =>
    list.filter(({ name, type }) => JOINED_BY.includes(type) && name !== 'marker')
  const pairs = comparable(left).flatMap((one) =>
    comparable(right).flatMap((other) => (one.type === other.type ? [[one, other] as const] : [])),
  )
  const ids = pairs.filter(([one]) => /(^|_)(id|no)$/.test(one.name))
  const pair =
    ids.length > 0 && random.chance(0.7) ? random.pick(ids) : pairs.length > 0 && random.pick(pairs)
  if (!pair) return random.chance(0.3) ? sql`true` : sql`false`
  const reference: ExpressionWrapper<Loose, string, unknown> = eb.ref(pair[1].ref)
  return eb(eb.ref(pair[0].ref), '=', reference)
}
