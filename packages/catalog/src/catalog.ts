import type { DatabaseAddress } from '@freehold/postgres'
import { type AnnouncementsCatalog, createAnnouncements } from './announcements.ts'
import { type ApiKeysCatalog, createApiKeys } from './api-keys.ts'
import { openCatalogDatabase } from './database.ts'
import { createEvacuations, type EvacuationsCatalog } from './evacuations.ts'
import { createHosts, type HostsCatalog } from './hosts.ts'
import { findMade, type IdempotentRequest } from './idempotency.ts'
import { createLeases, type LeasesCatalog } from './leases.ts'
import { createLedger, type LedgerCatalog } from './ledger.ts'
import { createMemberships, type MembershipsCatalog } from './memberships.ts'
import { createMoveOrders, type MoveOrdersCatalog } from './move-orders.ts'
import { createMoves, type MovesCatalog } from './moves.ts'
import { createOperations, type OperationsCatalog } from './operations.ts'
import { createPlacements, type PlacementsCatalog } from './placements.ts'
import { createSteps, type StepsCatalog } from './steps.ts'
import { createTenants, type TenantsCatalog } from './tenants.ts'
import { createTopology, type TopologyCatalog } from './topology.ts'

export interface CatalogOptions {
  /** The control database as freehold_control. */
  readonly address: DatabaseAddress
  readonly applicationName: string
  /** Connections at most, besides the one that listens. */
  readonly max?: number
}

/** The control database. Every function is one statement or one transaction, and safe to repeat. */
export interface Catalog {
  readonly topology: TopologyCatalog
  readonly tenants: TenantsCatalog
  readonly placements: PlacementsCatalog
  /** By what products know tenants. */
  readonly hosts: HostsCatalog
  readonly apiKeys: ApiKeysCatalog
  readonly memberships: MembershipsCatalog
  /** Moves as people see them. */
  readonly moves: MovesCatalog
  /** Moves as workers run them. */
  readonly operations: OperationsCatalog & LeasesCatalog & StepsCatalog & MoveOrdersCatalog
  /** Clusters that are emptied. */
  readonly evacuations: EvacuationsCatalog
  readonly ledger: LedgerCatalog
  readonly announcements: AnnouncementsCatalog
  /**
   * The id of what an earlier sending of a creating request made.
   *
   * @throws FreeholdError `idempotency_key_reused` when its key stands for another request.
   */
  findMade(request: IdempotentRequest): Promise<string | undefined>
  /** @throws FreeholdError `catalog_unavailable` when the control database cannot be reached. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** Opens the control database; connections are made when they are needed. */
export function openCatalog({ address, applicationName, max = 10 }: CatalogOptions): Catalog {
  const database = openCatalogDatabase(address, applicationName, max)
  const announcements = createAnnouncements(address, applicationName, database)
  return {
    topology: createTopology(database),
    tenants: createTenants(database),
    placements: createPlacements(database),
    hosts: createHosts(database),
    apiKeys: createApiKeys(database),
    memberships: createMemberships(database),
    moves: createMoves(database),
    operations: {
      ...createOperations(database),
      ...createLeases(database),
      ...createSteps(database),
      ...createMoveOrders(database),
    },
    evacuations: createEvacuations(database),
    ledger: createLedger(database),
    announcements,
    findMade: (request) => findMade(database, request),
    async ping() {
      await database.run('select')
    },
    async close() {
      await announcements.close()
      await database.close()
    },
  }
}
