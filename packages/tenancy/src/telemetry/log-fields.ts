import type { TenantId } from '@freehold/contract'
import { currentTenantIfAny } from '../context/tenant-context.ts'

/** The name of the tenant's id in logs, spans and error reports. */
export const TENANT_FIELD = 'tenant.id'

/** Marks a logger, and by inheritance its children, whose lines name the tenant already. */
const namesTenant = Symbol('freehold.names-tenant')

interface ChildLogger<L> {
  child(bindings: Record<string, string>): L
}

/**
 * The fields that tell as whom a line was logged: `{ 'tenant.id': ... }` inside a tenant's context and nothing
 * outside. The mixin of a pino logger; it never throws, and holds nothing but the id.
 *
 * @example
 * ```ts
 * const logger = pino({ mixin: tenantLogFields })
 * const app = fastify({ loggerInstance: logger })
 * ```
 */
export function tenantLogFields(
  _fields?: object,
  _level?: number,
  logger?: object,
): Partial<Record<typeof TENANT_FIELD, TenantId>> {
  const context = currentTenantIfAny()
  if (!context || (logger && namesTenant in logger)) return {}
  return { [TENANT_FIELD]: context.tenant.id }
}

/** A child of a logger whose lines name the tenant, wherever they are logged from. */
export function withTenantField<L extends object>(logger: L & ChildLogger<L>, tenantId: TenantId): L {
  const child = logger.child({ [TENANT_FIELD]: tenantId })
  // A logger that logs nothing is its own child, and belongs to every request.
  if (child !== logger) Object.defineProperty(child, namesTenant, { value: true })
  return child
}
