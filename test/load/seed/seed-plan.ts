/** What a tenant is loaded with. The same plan gives the same rows. */
export interface SeedPlan {
  /** Rows over all tables. */
  readonly rows: number
  readonly seed: number
}

/** How many rows of each table a plan has. */
export interface SeedCounts {
  readonly customers: number
  readonly products: number
  readonly orders: number
  readonly lines: number
  readonly events: number
}

/** Splits the rows over the tables: an order has its event and, on average, two and a half lines. */
export function seedCounts({ rows }: SeedPlan): SeedCounts {
  // So few rows could leave orders without a customer to belong to.
  if (rows < 50) return { customers: rows, products: 0, orders: 0, lines: 0, events: 0 }
  const customers = Math.floor(rows * 0.08)
  const products = Math.floor(rows * 0.04)
  const orders = Math.floor(rows * 0.2)
  return { customers, products, orders, events: orders, lines: rows - customers - products - 2 * orders }
}

/** The text by which a row is recognised as a tenant's from its content alone. */
export const tenantMarker = (tenantId: string): string => `t${tenantId.replaceAll('-', '').slice(0, 12)}`

/** Every tenth seeded customer and product has no orders, so that it can be deleted. */
export const hasOrders = (index: number): boolean => index % 10 !== 9

/** The nth of those that have orders. */
export const withOrders = (n: number): number => Math.floor(n / 9) * 10 + (n % 9)

/** How many of the first `count` have orders. */
export const countWithOrders = (count: number): number => Math.floor(count / 10) * 9 + Math.min(count % 10, 9)
