import { AsyncLocalStorage } from 'node:async_hooks'
import { FreeholdError, type TenantId } from '@freehold/contract'
import type { Kysely } from 'kysely'
import { publishTenantEntered } from '../events.ts'
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

const storage = new AsyncLocalStorage<TenantContext | undefined>()

/**
 * Runs `work` as a tenant: a job, a script, a test. Inside, {@link currentTenant} tells which. The tenant is fixed
 * once: inside it, running as another one is refused unless {@link outsideTenant} has left the context first.
 *
 * @throws FreeholdError as {@link Router.tenant} does, and `tenant_fixed`, before `work` is called.
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
  assertNotAnother(tenant.id)
  const db = router.forTenant(tenant.id)
  return runInContext({ tenant, db }, () => {
    publishTenantEntered({ tenantId: tenant.id })
    return work(db, tenant)
  })
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

/** The tenant as whom the code runs now, if there is one: for what also runs without, as logs do. */
export function currentTenantIfAny(): TenantContext | undefined {
  return storage.getStore()
}

/**
 * Runs `work` as nobody, whoever the caller is: for code that goes over tenants, and for what outlives a request, as
 * pools, timers and workers do that are started on first use. It gives no rights; {@link currentTenant} throws in it.
 *
 * @example
 * ```ts
 * const flush = outsideTenant(() => setInterval(() => metrics.flush(), 10_000))
 * ```
 */
export function outsideTenant<T>(work: () => T): T {
  return storage.run(undefined, work)
}

/**
 * A function that runs as the tenant of now, whoever calls it and whenever: a listener on an emitter, or a callback
 * for a library that queues its work, both of which are otherwise called as whoever happens to wake them.
 *
 * @throws FreeholdError `tenant_context_missing` when there is no tenant to bind to.
 * @example
 * ```ts
 * stock.on('arrived', bindToTenant((item: string) => notifyBuyersOf(item)))
 * ```
 */
export function bindToTenant<A extends unknown[], R>(work: (...args: A) => R): (...args: A) => R {
  const context = currentTenant()
  return (...args) => storage.run(context, work, ...args)
}

/**
 * Refuses to act for a tenant other than the one as whom the code runs.
 *
 * @throws FreeholdError `tenant_fixed`
 */
export function assertNotAnother(tenantId: TenantId): void {
  const context = storage.getStore()
  if (!context || context.tenant.id === tenantId) return
  throw new FreeholdError('tenant_fixed', undefined, { details: { tenant: context.tenant.id } })
}

/** Runs `work`, and everything that it starts, in a context, or in none. */
export function runInContext<T>(context: TenantContext | undefined, work: () => T): T {
  return storage.run(context, work)
}
