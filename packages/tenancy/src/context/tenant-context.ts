import { AsyncLocalStorage } from 'node:async_hooks'
import { FreeholdError } from '@freehold/contract'
import type { Kysely } from 'kysely'
import type { Tenant } from '../placement/placement.ts'
import type { Router } from '../router.ts'

/**
 * The product's tables. A product merges its own into this interface once, and the router, `request.db` and
 * {@link runAsTenant} are typed by it.
 *
 * @example
 * ```ts
 * declare module '@freehold/tenancy' {
 *   interface FreeholdDatabase extends Database {}
 * }
 * ```
 */
// biome-ignore lint/suspicious/noEmptyInterface: products merge their tables into it
export interface FreeholdDatabase {}

/** As whom the code runs now. */
export interface TenantContext {
  readonly tenant: Tenant
  readonly db: Kysely<FreeholdDatabase>
}

const storage = new AsyncLocalStorage<TenantContext>()

/**
 * Runs `work` as a tenant: a job, a script, a test. Inside, {@link currentTenant} tells which.
 *
 * @throws FreeholdError as {@link Router.tenant} does, before `work` is called.
 * @example
 * ```ts
 * await runAsTenant(router, job.data.tenantId, async (db) => {
 *   await db.deleteFrom('carts').where('abandoned', '=', true).execute()
 * })
 * ```
 */
export async function runAsTenant<T>(
  router: Router<FreeholdDatabase>,
  tenantId: string,
  work: (db: Kysely<FreeholdDatabase>, tenant: Tenant) => Promise<T>,
): Promise<T> {
  const tenant = await router.tenant(tenantId)
  const db = router.forTenant(tenantId)
  return runInContext({ tenant, db }, () => work(db, tenant))
}

/**
 * The tenant as whom the code runs now.
 *
 * @throws FreeholdError `tenant_context_missing` outside {@link runAsTenant} and outside a request with a tenant.
 */
export function currentTenant(): TenantContext {
  const context = storage.getStore()
  if (!context) throw new FreeholdError('tenant_context_missing')
  return context
}

/** Runs `work`, and everything that it starts, in a context. */
export function runInContext<T>(context: TenantContext, work: () => T): T {
  return storage.run(context, work)
}
