import { currentTenantIfAny } from '../context/tenant-context.ts'
import { TENANT_FIELD } from './log-fields.ts'

/**
 * What an error report may say about the tenant: its id, and of which kind it is. No name, no slug, no rows. Empty
 * outside a tenant's context, so that it can be called for every report.
 *
 * @example
 * ```ts
 * Sentry.init({ beforeSend: (event) => ({ ...event, tags: { ...event.tags, ...tenantErrorContext() } }) })
 * ```
 */
export function tenantErrorContext(): Readonly<Record<string, string>> {
  const tenant = currentTenantIfAny()?.tenant
  if (!tenant) return {}
  return {
    [TENANT_FIELD]: tenant.id,
    'tenant.tier': tenant.tier,
    'tenant.region': tenant.region,
    'tenant.isolation': tenant.isolation,
  }
}
