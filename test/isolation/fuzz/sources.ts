import { type AliasedExpression, sql } from 'kysely'
import { type Column, columnsOf, deeper, type Scope, tablesIn, type Visible, visibleAs } from './scope.ts'

/** Something that stands in FROM or is joined. */
export interface Source {
  readonly item: string | AliasedExpression<unknown, string>
  readonly columns: readonly Visible[]
  /** The table, where it is one and nothing else. */
  readonly table: string | undefined
  /** Whether it sees what stands before it. */
  readonly lateral: boolean
}

export function source(scope: Scope, before: readonly Visible[] = []): Source {
  const { random } = scope
  const shallow = scope.depth < 2
  if (scope.ctes.size > 0 && random.chance(0.4)) return cte(scope)
  if (shallow && random.chance(0.1)) return subquery(scope, undefined)
  if (shallow && before.length > 0 && random.chance(0.08)) return subquery(scope, before)
  if (random.chance(0.06)) return rows(scope)
  return table(scope)
}

function table(scope: Scope): Source {
  const { random } = scope
  const name = random.pick(tablesIn(scope))
  const alias = scope.name('t')
  const text = random.one(
    () => `${name} as ${alias}`,
    () => `public.${name} as ${alias}`,
    () => `${name} as ${alias}`,
  )
  // A reference table is declared without its schema.
  const item = name === 'regions' ? `regions as ${alias}` : text
  if (name !== 'regions' && random.chance(0.05)) {
    return { ...named(alias, columnsOf(name), name), item: sql.table(name).as(alias) }
  }
  return { ...named(alias, columnsOf(name), name), item }
}

function cte(scope: Scope): Source {
  const [name, columns] = scope.random.pick([...scope.ctes])
  const alias = scope.name('t')
  return { ...named(alias, columns), item: `${name} as ${alias}` }
}

function subquery(scope: Scope, before: readonly Visible[] | undefined): Source {
  const alias = scope.name('t')
  const inner = scope.select(deeper(scope, { visible: before ?? [] }))
  return { ...named(alias, inner.columns), item: inner.query.as(alias), lateral: before !== undefined }
}

function rows(scope: Scope): Source {
  const { random } = scope
  const alias = scope.name('t')
  if (random.chance(0.5)) {
    const item = sql`generate_series(1, ${random.int(1, 6)}::integer)`.as<string>(sql`${sql.ref(alias)}(c0)`)
    return { ...named(alias, [{ name: 'c0', type: 'integer' }]), item }
  }
  const item = sql`(values (1, 'new'), (${random.int(1, 9)}, 'paid'), (null, 'pro'))`.as<string>(
    sql`${sql.ref(alias)}(c0, c1)`,
  )
  const columns: Column[] = [
    { name: 'c0', type: 'integer' },
    { name: 'c1', type: 'text' },
  ]
  return { ...named(alias, columns), item }
}

function named(alias: string, columns: readonly Column[], of?: string): Omit<Source, 'item'> {
  return { columns: visibleAs(alias, columns), table: of, lateral: false }
}
