import {
  clusterIdSchema,
  type DataDatabaseId,
  dataDatabaseIdSchema,
  type Epoch,
  FreeholdError,
  type Isolation,
  isolationSchema,
  jurisdictionSchema,
  type Placement,
  type PlacementRecord,
  regionIdSchema,
  type TenantId,
} from '@freehold/contract'
import { z } from 'zod'
import type { CatalogDatabase, Queries } from './database.ts'
import { residencyViolation, withRefusals } from './refusals.ts'
import { epochRow, instantRow } from './rows.ts'

export const placementRow = z.object({
  isolation: isolationSchema,
  region: regionIdSchema,
  jurisdiction: jurisdictionSchema,
  cluster: clusterIdSchema,
  dataDatabaseId: dataDatabaseIdSchema,
  database: z.string(),
  schema: z.string(),
  epoch: epochRow,
})

const placementRecordRow = placementRow.extend({
  current: z.boolean(),
  since: instantRow,
  until: instantRow.nullable(),
})

const homeRow = z.object({ epoch: epochRow, dataDatabaseId: dataDatabaseIdSchema })

/** Columns and joins of {@link placementRow}, over a table expression `placements`. */
export const PLACEMENT_COLUMNS = `
  placements.isolation, clusters.region_id as region, placements.jurisdiction, clusters.id as cluster,
  placements.data_database_id as "dataDatabaseId", data_databases.name as database,
  placements.schema_name as schema, placements.epoch`
export const PLACEMENT_JOINS = `
  join catalog.data_databases on data_databases.id = placements.data_database_id
  join catalog.clusters on clusters.id = data_databases.cluster_id`

export interface HomeSwitch {
  readonly tenantId: TenantId
  readonly fromEpoch: Epoch
  readonly toEpoch: Epoch
  readonly dataDatabaseId: DataDatabaseId
  readonly isolation: Isolation
  readonly schema: string
}

export type PlacementsCatalog = ReturnType<typeof createPlacements>

export function createPlacements(database: CatalogDatabase) {
  return {
    /**
     * Makes another placement the tenant's home: ends the home of `fromEpoch` and begins that of `toEpoch`, in
     * one transaction, and only if the home is still that of `fromEpoch`. No fencing token is asked for: past
     * the point of no return every worker, also one that has lost its lease, does the same, and the epoch
     * decides.
     *
     * @returns 'already' when the switch had been made before.
     * @throws FreeholdError `lease_lost` when the home is neither (the tenant has been moved on since), or
     * `residency_violation`.
     */
    switchHome(to: HomeSwitch): Promise<'switched' | 'already'> {
      return explained(database, to, () => switchHome(database, to))
    },

    /**
     * Does what {@link switchHome} will, and undoes it. What the catalog would refuse is found while nobody waits for it, and what
     * its session needs for it is planned and loaded.
     *
     * @throws FreeholdError as `switchHome`.
     */
    async rehearseSwitch(to: HomeSwitch): Promise<void> {
      await explained(database, to, () => database.rehearse((queries) => switchHome(queries, to)))
    },

    /** Where the tenant lives now. @throws FreeholdError `tenant_not_found` */
    async home(tenantId: TenantId): Promise<Placement> {
      const found = await database.first(
        placementRow,
        `select ${PLACEMENT_COLUMNS} from catalog.placements ${PLACEMENT_JOINS}
         where tenant_id = $1 and until is null`,
        [tenantId],
      )
      if (found === undefined) throw new FreeholdError('tenant_not_found', `There is no tenant ${tenantId}.`)
      return found
    },
  }
}

async function switchHome(queries: Queries, to: HomeSwitch): Promise<'switched' | 'already'> {
  const { tenantId, fromEpoch, toEpoch, dataDatabaseId, isolation, schema } = to
  const switched = await queries.first(
    z.object({ switched: z.boolean() }),
    'select catalog.switch_home($1, $2, $3, $4, $5, $6) as switched',
    [tenantId, fromEpoch, toEpoch, dataDatabaseId, isolation, schema],
  )
  return switched?.switched === true ? 'switched' : requireSwitched(queries, to)
}

function explained<T>(database: CatalogDatabase, to: HomeSwitch, work: () => Promise<T>): Promise<T> {
  return withRefusals(
    { placement_respects_residency: () => explainResidency(database, to.tenantId, to.dataDatabaseId) },
    work,
  )
}

/** @throws FreeholdError when the tenant has moved elsewhere. */
async function requireSwitched(queries: Queries, to: HomeSwitch): Promise<'already'> {
  const home = await queries.first(
    homeRow,
    `select epoch, data_database_id as "dataDatabaseId" from catalog.placements
     where tenant_id = $1 and until is null`,
    [to.tenantId],
  )
  if (home?.epoch === to.toEpoch && home.dataDatabaseId === to.dataDatabaseId) return 'already'
  throw movedOn(to, home?.epoch)
}

/** Every placement that the tenant has or had, newest first. */
export async function readPlacements(queries: Queries, tenantId: TenantId): Promise<PlacementRecord[]> {
  return queries.all(
    placementRecordRow,
    `select ${PLACEMENT_COLUMNS}, until is null as current, since, until
     from catalog.placements ${PLACEMENT_JOINS} where tenant_id = $1 order by epoch desc`,
    [tenantId],
  )
}

/** Inserts a home; pin, kind and jurisdiction are those that the catalog knows. */
export async function beginPlacement(
  queries: Queries,
  placement: Pick<HomeSwitch, 'tenantId' | 'dataDatabaseId' | 'isolation' | 'schema'> & {
    readonly epoch: Epoch
  },
): Promise<void> {
  await queries.run(
    `insert into catalog.placements (tenant_id, epoch, data_database_id, database_kind, isolation, schema_name,
       jurisdiction, pinned_to)
     select tenants.id, $2, data_databases.id, data_databases.kind, $4, $5, data_databases.jurisdiction,
       tenants.pinned_to
     from catalog.tenants, catalog.data_databases where tenants.id = $1 and data_databases.id = $3`,
    [placement.tenantId, placement.epoch, placement.dataDatabaseId, placement.isolation, placement.schema],
  )
}

async function explainResidency(
  queries: Queries,
  tenantId: TenantId,
  dataDatabaseId: DataDatabaseId,
): Promise<FreeholdError> {
  const found = await queries.first(
    z.object({ tenant: z.string(), residency: z.string(), jurisdiction: z.string() }),
    `select slug as tenant, pinned_to as residency, jurisdiction
     from catalog.tenants, catalog.data_databases where tenants.id = $1 and data_databases.id = $2`,
    [tenantId, dataDatabaseId],
  )
  return found === undefined ? new FreeholdError('residency_violation') : residencyViolation(found)
}

function movedOn(to: HomeSwitch, epoch: Epoch | undefined): FreeholdError {
  return new FreeholdError(
    'lease_lost',
    `The home of tenant ${to.tenantId} has epoch ${epoch ?? 'none'}, not ${to.fromEpoch}.`,
    { details: { tenant: to.tenantId, fromEpoch: to.fromEpoch } },
  )
}
