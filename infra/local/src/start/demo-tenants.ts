import { type createTenantSchema, type Tenant, tenantSchema } from '@freehold/contract'
import { z } from 'zod'
import type { Stack } from '../stack/stack.ts'
import { HttpClient } from './http-client.ts'

const TENANTS: readonly z.input<typeof createTenantSchema>[] = [
  { slug: 'acme', name: 'Acme Corporation', region: 'us' },
  { slug: 'globex', name: 'Globex', region: 'us' },
  { slug: 'initech', name: 'Initech', region: 'us' },
  { slug: 'umbrella', name: 'Umbrella Pharma', region: 'eu', residency: 'eu' },
]

const CUSTOMERS = [
  { email: 'orders@example.com', name: 'Workshop Supplies', labels: ['wholesale'] },
  { email: 'desk@example.com', name: 'Corner Store', newsletter: true },
]

const PRODUCTS = [
  { sku: 'ANVIL-50', name: 'Anvil, 50 kg', price: '249.00', currency: 'EUR', stock: 40, tags: ['heavy'] },
  { sku: 'ROPE-20', name: 'Rope, 20 m', price: '18.90', currency: 'EUR', stock: 500 },
]

const madeSchema = z.object({ id: z.uuid() })
const pageSchema = z.object({ items: z.array(z.unknown()) })

/**
 * Sees to it that there are tenants to play with, each with a few rows; those that are there are left as they are.
 *
 * @returns the tenants, the first of them in a pool of the region us when it was made.
 */
export async function ensureDemoTenants(stack: Stack): Promise<Tenant[]> {
  const controlApi = new HttpClient(stack.urls.controlApi, stack.operatorToken())
  const tenants: Tenant[] = []
  for (const input of TENANTS) {
    const existing = await controlApi.get(`/v1/tenants/${input.slug}`)
    const tenant = tenantSchema.parse(existing ?? (await controlApi.post('/v1/tenants', input)))
    await ensureRows(new HttpClient(stack.urls.productApi, stack.productToken(tenant.id)))
    tenants.push(tenant)
  }
  return tenants
}

async function ensureRows(shop: HttpClient): Promise<void> {
  const { items } = pageSchema.parse(await shop.get('/customers?limit=1'))
  if (items.length > 0) return
  const customers = await makeAll(shop, '/customers', CUSTOMERS)
  const products = await makeAll(shop, '/products', PRODUCTS)
  for (const [index, customer] of customers.entries()) {
    await shop.post('/orders', {
      customer_id: customer,
      currency: 'EUR',
      reference: `ORDER-${index + 1}`,
      actor: 'npm start',
      lines: products.map((product) => ({ product_id: product, quantity: index + 1 })),
    })
  }
}

async function makeAll(shop: HttpClient, path: string, bodies: readonly object[]): Promise<string[]> {
  const ids: string[] = []
  for (const body of bodies) ids.push(madeSchema.parse(await shop.post(path, body)).id)
  return ids
}
