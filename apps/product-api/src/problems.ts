/** What can go wrong in the shop itself, besides what Freehold reports with codes of its own. */
const registry = {
  customer_not_found: { status: 404, title: 'There is no such customer' },
  product_not_found: { status: 404, title: 'There is no such product' },
  order_not_found: { status: 404, title: 'There is no such order' },
  id_taken: { status: 409, title: 'The id is already in use' },
  email_taken: { status: 409, title: 'Another customer has this e-mail address' },
  sku_taken: { status: 409, title: 'Another product has this SKU' },
  in_use: { status: 409, title: 'Orders still refer to it' },
  out_of_stock: { status: 409, title: 'There are not enough pieces in stock' },
  status_not_allowed: { status: 409, title: 'The order cannot get this status now' },
  order_not_cancelled: { status: 409, title: 'Only a cancelled order can be deleted' },
  customer_unknown: { status: 422, title: 'The order names a customer that does not exist' },
  product_unknown: { status: 422, title: 'The order names a product that does not exist' },
  currency_unknown: { status: 422, title: 'The currency is not one in which the shop sells' },
  currencies_differ: { status: 422, title: 'The products of an order must be priced in its currency' },
} as const

export type ShopErrorCode = keyof typeof registry

/** An error of the shop's own, answered as an RFC 9457 problem document. */
export class ShopError extends Error {
  override readonly name = 'ShopError'
  readonly code: ShopErrorCode

  constructor(code: ShopErrorCode) {
    super(registry[code].title)
    this.code = code
  }

  get statusCode(): number {
    return registry[this.code].status
  }

  toProblem() {
    const { status, title } = registry[this.code]
    return { type: `urn:shop:error:${this.code}`, title, status, code: this.code }
  }
}

/** What a refusal by a constraint means to a client, by the constraint's name. */
export const codeOfConstraint: Readonly<Record<string, ShopErrorCode>> = {
  customers_pkey: 'id_taken',
  products_pkey: 'id_taken',
  orders_pkey: 'id_taken',
  customer_email_is_unique: 'email_taken',
  product_sku_is_unique: 'sku_taken',
  product_currency_exists: 'currency_unknown',
  order_currency_exists: 'currency_unknown',
  stock_is_not_negative: 'out_of_stock',
}
