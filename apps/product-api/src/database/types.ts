import type { ColumnType, Generated } from 'kysely'

/** A value of a jsonb column: read parsed, written as text, because `pg` would take an array for a Postgres one. */
type Json = ColumnType<unknown, string | null | undefined, string | null>

/** Written by the database alone. */
type ReadOnly<T> = ColumnType<T, never, never>

/** numeric is read as text: a JavaScript number would round it. */
type Numeric = ColumnType<string, string | number, string | number>
type NullableNumeric = ColumnType<string | null, string | number | null | undefined, string | number | null>

/** Fills itself in when a row is inserted, and is not meant to change. */
type Stamp = ColumnType<Date, Date | string | undefined, never>

interface CurrencyTable {
  code: ReadOnly<string>
  name: ReadOnly<string>
  minor_digits: ReadOnly<number>
}

interface CustomerTable {
  id: Generated<string>
  email: string
  name: string
  phone: string | null
  born_on: ColumnType<Date | null, string | null | undefined, string | null>
  address: Json
  labels: Generated<string[]>
  credit_limit: NullableNumeric
  newsletter: Generated<boolean>
  created_at: Stamp
  updated_at: ReadOnly<Date>
}

interface ProductTable {
  id: Generated<string>
  sku: string
  name: string
  description: string | null
  price: Numeric
  currency: Generated<string>
  stock: Generated<number>
  weight_kg: number | null
  attributes: Json
  tags: Generated<string[]>
  image_digest: ColumnType<Buffer | null, Buffer | null | undefined, Buffer | null>
  created_at: Stamp
  updated_at: ReadOnly<Date>
}

export type OrderStatus = 'placed' | 'paid' | 'shipped' | 'cancelled'

interface OrderTable {
  id: Generated<string>
  number: ReadOnly<string>
  customer_id: string
  status: Generated<OrderStatus>
  currency: string
  total: Numeric
  reference: string
  note: string | null
  shipping: Json
  placed_at: Stamp
  updated_at: ReadOnly<Date>
}

interface OrderLineTable {
  order_id: string
  line_number: number
  product_id: string
  sku: string
  quantity: number
  unit_price: Numeric
  discount: ColumnType<string, string | number | undefined, string | number>
  line_total: ReadOnly<string>
  options: Json
}

interface OrderEventTable {
  id: Generated<string>
  order_id: string
  kind: string
  actor: string
  data: Json
  occurred_at: Stamp
}

/**
 * The tables of migrations/product as the handlers see them. The tenant column is not among them: the database
 * fills it in and filters by it, and no handler has a use for it.
 */
export interface ProductDatabase {
  currencies: CurrencyTable
  customers: CustomerTable
  products: ProductTable
  orders: OrderTable
  order_lines: OrderLineTable
  order_events: OrderEventTable
}
