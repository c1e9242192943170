import { AssertionError } from 'node:assert'
import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { type FreeholdDatabase, runAsTenant } from '../context/tenant-context.ts'
import type { Tenant } from '../placement/placement.ts'
import type { Router } from '../router.ts'

/** One of two tenants of a test. */
export interface TestTenant {
  readonly name: 'a' | 'b'
  readonly id: string
  /** Text that is in no other tenant's rows, if only this tenant's are given it. */
  readonly marker: string
  /** The tenant's database, as product code has it. */
  readonly db: Kysely<FreeholdDatabase>
  readonly router: Router<FreeholdDatabase>
}

/** Two tenants of a test, with rows of their own. */
export interface TwoTenants {
  readonly a: TestTenant
  readonly b: TestTenant
}

export interface SeedOptions {
  readonly router: Router<FreeholdDatabase>
  /** Makes a tenant exist: `(id) => source.admit(id)`, or a call of the control API. Left out when they exist. */
  readonly admit?: (id: string) => Promise<unknown>
  /** Their ids; random UUIDs unless set. */
  readonly ids?: readonly [string, string]
  /** Gives a tenant its rows. It is called for each; let `tenant.marker` stand in some of them. */
  readonly seed: (db: Kysely<FreeholdDatabase>, tenant: TestTenant) => Promise<unknown>
}

/**
 * Makes two tenants with rows of their own, one after the other, each seeded inside its own context.
 *
 * @throws AssertionError when both are one; what `admit` and `seed` throw.
 * @example
 * ```ts
 * const residents = createResidentSource({ app: config.DATABASE_URL, control: config.CONTROL_URL, entrySecret })
 * const tenants = await seedTwoTenants({
 *   router,
 *   admit: (id) => residents.admit(id),
 *   seed: (db, { marker }) => db.insertInto('orders').values({ total: marker }).execute(),
 * })
 * ```
 */
export async function seedTwoTenants(options: SeedOptions): Promise<TwoTenants> {
  const { router, admit, seed, ids = [randomUUID(), randomUUID()] } = options
  if (ids[0] === ids[1]) throw new AssertionError({ message: 'The two tenants of a test must differ.' })
  const make = async (name: TestTenant['name'], id: string): Promise<TestTenant> => {
    await admit?.(id)
    const tenant = { name, id, marker: `${name}-${randomUUID()}`, db: router.forTenant(id), router }
    await runAs(tenant, (db) => seed(db, tenant))
    return tenant
  }
  return { a: await make('a', ids[0]), b: await make('b', ids[1]) }
}

/**
 * Runs `work` as a tenant of a test: `currentTenant()` works in whatever it calls.
 *
 * @example
 * ```ts
 * const { a } = await seedTwoTenants({ router, seed: async () => undefined })
 * const orders = await runAs(a, (db) => db.selectFrom('orders').selectAll().execute())
 * ```
 */
export function runAs<T>(
  { router, id }: TestTenant,
  work: (db: Kysely<FreeholdDatabase>, tenant: Tenant) => Promise<T>,
): Promise<T> {
  return runAsTenant(router, id, work)
}
