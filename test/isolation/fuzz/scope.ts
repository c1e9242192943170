import type { TenantId } from '@freehold/contract'
import {
  type Expression,
  expressionBuilder,
  type Kysely,
  type QueryCreator,
  type SelectQueryBuilder,
  type SqlBool,
} from 'kysely'
import type { Random } from './random.ts'

/** Tables as the generator sees them: names are made at run time. */
export type Loose = Record<string, Record<string, unknown>>
export type Db = Kysely<Loose>

export const eb = expressionBuilder<Loose, string>()

/** Types that the generator tells apart; a `json` can be neither compared nor sorted. */
export type Type = 'integer' | 'bigint' | 'text' | 'date' | 'boolean' | 'uuid' | 'jsonb' | 'json'

export interface Column {
  readonly name: string
  readonly type: Type
}

/** A column that an expression may use, by its whole name. */
export interface Visible extends Column {
  readonly ref: string
}

export type Query = SelectQueryBuilder<Loose, string, Record<string, unknown>>

export interface Selected {
  readonly query: Query
  /** What it returns: c0, c1, ... */
  readonly columns: readonly Column[]
  /** Whether its rows come in one order only. */
  readonly ordered: boolean
}

export interface SelectOptions {
  /** The types of its columns; any unless set. */
  readonly wanted?: readonly Type[]
  /** It returns one row at most. */
  readonly one?: boolean
}

/** What a part of a query can see. */
export interface Scope {
  readonly random: Random
  readonly db: Db
  /** Begins the query that is being built; with its WITH, if it has one. */
  readonly from: QueryCreator<Loose>
  readonly tenant: TenantId
  /**
   * What stands before the conditions of a table in raw SQL: true where row security reads it, and else what somebody
   * without row security has to write by hand.
   */
  readonly byHand: (table: string) => Expression<SqlBool>
  /** Common table expressions, by name. They hide tables. */
  readonly ctes: ReadonlyMap<string, readonly Column[]>
  readonly visible: readonly Visible[]
  /** Makes any query that returns rows. */
  readonly select: (scope: Scope, options?: SelectOptions) => Selected
  /** How deep in subqueries. */
  readonly depth: number
  /** Makes names that no other part of the query has. */
  readonly name: (prefix: string) => string
}

const PRODUCT: Readonly<Record<string, readonly Column[]>> = {
  regions: columns({ code: 'text', name: 'text', rank: 'integer' }),
  customers: columns({
    tenant_id: 'uuid',
    id: 'integer',
    name: 'text',
    tier: 'text',
    credit: 'integer',
    region: 'text',
    marker: 'text',
  }),
  orders: columns({
    tenant_id: 'uuid',
    id: 'integer',
    customer_id: 'integer',
    status: 'text',
    total: 'integer',
    placed_on: 'date',
    marker: 'text',
  }),
  lines: columns({
    tenant_id: 'uuid',
    order_id: 'integer',
    line_no: 'integer',
    product: 'text',
    quantity: 'integer',
    price: 'integer',
    marker: 'text',
  }),
  events: columns({
    tenant_id: 'uuid',
    id: 'integer',
    day: 'date',
    kind: 'text',
    payload: 'jsonb',
    marker: 'text',
  }),
}

function columns(types: Readonly<Record<string, Type>>): readonly Column[] {
  return Object.entries(types).map(([name, type]) => ({ name, type }))
}

/** The product's tables that no common table expression hides. */
export function tablesIn(scope: Scope): string[] {
  return Object.keys(PRODUCT).filter((table) => !scope.ctes.has(table))
}

export function columnsOf(table: string): readonly Column[] {
  return PRODUCT[table] ?? []
}

export function visibleAs(alias: string, list: readonly Column[]): Visible[] {
  return list.map((column) => ({ ...column, ref: `${alias}.${column.name}` }))
}

export function deeper(scope: Scope, changes: Partial<Scope> = {}): Scope {
  return { ...scope, from: scope.db, depth: scope.depth + 1, ...changes }
}
