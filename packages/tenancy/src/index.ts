export { type CopyableQuery, type CopyFromOptions, copyFrom } from './bulk/copy-from.ts'
export { type CopyIntoOptions, type CopyRow, copyInto } from './bulk/copy-into.ts'
export type { CopyProgress } from './bulk/row-encoder.ts'
export {
  bindToTenant,
  currentTenant,
  currentTenantIfAny,
  type FreeholdDatabase,
  outsideTenant,
  runAsTenant,
  type TenantContext,
} from './context/tenant-context.ts'
export * from './events.ts'
export type { RouterMetrics } from './metrics/router-metrics.ts'
export type { Tenant } from './placement/placement.ts'
export * from './placement/placement-source.ts'
export {
  createResidentSource,
  type ResidentSource,
  type ResidentSourceOptions,
} from './placement/resident-source.ts'
export type { DeclaredTables } from './predicates/declared-tables.ts'
export { createRouter, type Router } from './router.ts'
export type { RouterOptions } from './router-options.ts'
export { tenantErrorContext } from './telemetry/error-context.ts'
export { tenantLogFields } from './telemetry/log-fields.ts'
