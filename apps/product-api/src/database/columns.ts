import { type AliasedRawBuilder, sql } from 'kysely'

/**
 * Columns as they are answered. Instants keep the microseconds of the database, days have no time zone, and
 * numerics keep their scale, where a JavaScript Date or number would lose them.
 */
const text = <C extends string>(column: C): AliasedRawBuilder<string, C> =>
  sql<string>`${sql.ref(column)}::text`.as(column)

const nullableText = <C extends string>(column: C): AliasedRawBuilder<string | null, C> =>
  sql<string | null>`${sql.ref(column)}::text`.as(column)

const instant = <C extends string>(column: C): AliasedRawBuilder<string, C> =>
  sql<string>`to_char(${sql.ref(column)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`.as(column)

const hex = <C extends string>(column: C): AliasedRawBuilder<string | null, C> =>
  sql<string | null>`encode(${sql.ref(column)}, 'hex')`.as(column)

export const customerColumns = [
  'id',
  'email',
  'name',
  'phone',
  nullableText('born_on'),
  'address',
  'labels',
  'credit_limit',
  'newsletter',
  instant('created_at'),
  instant('updated_at'),
] as const

export const productColumns = [
  'id',
  'sku',
  'name',
  'description',
  'price',
  'currency',
  'stock',
  'weight_kg',
  'attributes',
  'tags',
  hex('image_digest'),
  instant('created_at'),
  instant('updated_at'),
] as const

export const orderColumns = [
  'id',
  'number',
  'customer_id',
  'status',
  'currency',
  'total',
  'reference',
  'note',
  'shipping',
  instant('placed_at'),
  instant('updated_at'),
] as const

export const lineColumns = [
  'line_number',
  'product_id',
  'sku',
  'quantity',
  text('unit_price'),
  text('discount'),
  text('line_total'),
  'options',
] as const

export const eventColumns = ['id', 'kind', 'actor', 'data', instant('occurred_at')] as const
