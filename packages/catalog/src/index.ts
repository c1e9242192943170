export { appAddress, type ClusterAccess, moverAddress, ownerAddress } from './addresses.ts'
export type { Announcement } from './announcements.ts'
export { type Catalog, type CatalogOptions, openCatalog } from './catalog.ts'
export type { EvacuationAttempt, OpenEvacuation } from './evacuations.ts'
export type { IdempotentRequest } from './idempotency.ts'
export type { Directions, Lease } from './leases.ts'
export type { LedgerEntry } from './ledger.ts'
export { toMove } from './moves.ts'
export type { MoveTerms } from './operated-moves.ts'
export { type NewMove, type Operation, requireFinalizable, requireRollbackPossible } from './operations.ts'
export type { HomeSwitch } from './placements.ts'
export { residencyViolation } from './refusals.ts'
export {
  type ComingHome,
  createRouteSource,
  type Route,
  type RouteSource,
  type RouteSourceOptions,
} from './routes.ts'
export type { Advance } from './steps.ts'
export {
  createTenantDirectory,
  type KnownApiKey,
  type MemberOf,
  type TenantDirectory,
} from './tenant-directory.ts'
export type { AdmitTenant } from './tenants.ts'
export type { ClusterRecord, NewCluster } from './topology.ts'
