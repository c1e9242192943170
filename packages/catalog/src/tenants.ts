import { randomUUID } from 'node:crypto'
import {
  type CreateTenant,
  canonicalTenantId,
  type Epoch,
  epochSchema,
  FreeholdError,
  jurisdictionSchema,
  operationIdSchema,
  type Placement,
  slugSchema,
  type Tenant,
  type TenantDetail,
  type TenantId,
  type TenantPage,
  type TenantQuery,
  tenantIdSchema,
  tenantStatusSchema,
  tierIdSchema,
} from '@freehold/contract'
import { z } from 'zod'
import type { CatalogDatabase, Queries } from './database.ts'
import { type IdempotentRequest, takeKey } from './idempotency.ts'
import { slugCursor } from './pages.ts'
import {
  beginPlacement,
  PLACEMENT_COLUMNS,
  PLACEMENT_JOINS,
  placementRow,
  readPlacements,
} from './placements.ts'
import { residencyViolation, withRefusals } from './refusals.ts'
import { instantRow } from './rows.ts'
import { type ClusterRecord, choosePool, readCluster } from './topology.ts'

const FIRST_EPOCH: Epoch = epochSchema.parse(1)

const tenantRow = z
  .object({
    tenantId: tenantIdSchema,
    slug: slugSchema,
    tenantName: z.string(),
    tier: tierIdSchema,
    status: tenantStatusSchema,
    residency: jurisdictionSchema.nullable(),
    activeMoveId: operationIdSchema.nullable(),
    createdAt: instantRow,
    ...placementRow.shape,
  })
  .transform(
    ({
      tenantId: id,
      slug,
      tenantName: name,
      tier,
      status,
      residency,
      activeMoveId,
      createdAt,
      ...placement
    }) => ({ id, slug, name, tier, status, residency, placement, activeMoveId, createdAt }) satisfies Tenant,
  )

const SELECT_TENANTS = `
  select tenants.id as "tenantId", tenants.slug, tenants.name as "tenantName", tenants.tier_id as tier,
    tenants.status, tenants.residency, active.id as "activeMoveId", tenants.created_at as "createdAt",
    ${PLACEMENT_COLUMNS}
  from catalog.tenants
  join catalog.placements on placements.tenant_id = tenants.id and placements.until is null
  ${PLACEMENT_JOINS}
  left join catalog.operations active on active.tenant_id = tenants.id and active.finished_at is null`

/**
 * Lets the new tenant into its data database. Called last before the catalog commits, when nothing can be refused
 * any more. It must be safe to repeat, and not ask the catalog: the transaction holds a connection already.
 */
export type AdmitTenant = (tenantId: TenantId, placement: Placement, cluster: ClusterRecord) => Promise<void>

export type TenantsCatalog = ReturnType<typeof createTenants>

export function createTenants(database: CatalogDatabase) {
  return {
    /**
     * Creates a tenant with its first placement, in the pool of its region. `admit` runs inside the
     * transaction: when it throws, or the catalog refuses, there is no tenant.
     *
     * @returns the tenant; `created` is false when an earlier sending of the same request made it.
     * @throws FreeholdError `tenant_slug_taken`, `tenant_id_taken`, `tenant_id_unfit`, `tier_not_found`, `region_not_found`, `pool_not_found`,
     * `residency_violation`, `idempotency_key_reused`.
     */
    async create(
      input: CreateTenant,
      admit: AdmitTenant,
      request?: IdempotentRequest,
    ): Promise<{ tenant: Tenant; created: boolean }> {
      const id = input.id ?? tenantIdSchema.parse(randomUUID())
      return withRefusals(createRefusals(database, input), () =>
        database.transaction(async (queries) => {
          const made = await takeKey(queries, request, id)
          if (made !== undefined) return { tenant: await readTenant(queries, made), created: false }
          return { tenant: await insertTenant(queries, id, input, admit), created: true }
        }),
      )
    },

    /** @throws FreeholdError `tenant_not_found` */
    get: (idOrSlug: string): Promise<Tenant> => readTenant(database, idOrSlug),

    /** The tenant with every placement it has or had. @throws FreeholdError `tenant_not_found` */
    async detail(idOrSlug: string): Promise<TenantDetail> {
      const tenant = await readTenant(database, idOrSlug)
      return { ...tenant, placements: await readPlacements(database, tenant.id) }
    },

    /** Tenants by slug, a page at a time. */
    async list(query: TenantQuery): Promise<TenantPage> {
      const found = await database.all(
        tenantRow,
        `${SELECT_TENANTS}
         where ($1::text is null or position(lower($1) in lower(tenants.slug || ' ' || tenants.name)) > 0)
           and ($2::text is null or tenants.slug > $2)
           and ($4::boolean is null or (placements.isolation <> 'pool') = $4)
         order by tenants.slug limit $3`,
        [query.search ?? null, slugCursor(query.cursor), query.limit + 1, query.own ?? null],
      )
      const items = found.slice(0, query.limit)
      return { items, nextCursor: found.length > items.length ? (items.at(-1)?.slug ?? null) : null }
    },
  }
}

/** @throws FreeholdError `tenant_not_found` */
export async function readTenant(queries: Queries, idOrSlug: string): Promise<Tenant> {
  const found = await queries.first(
    tenantRow,
    `${SELECT_TENANTS} where tenants.id = (select tenant_id from catalog.tenant_names where name = $1)`,
    [canonicalTenantId(idOrSlug)],
  )
  if (found !== undefined) return found
  throw new FreeholdError('tenant_not_found', `There is no tenant ${idOrSlug}.`, {
    details: { tenant: idOrSlug },
  })
}

async function insertTenant(
  queries: Queries,
  id: TenantId,
  input: CreateTenant,
  admit: AdmitTenant,
): Promise<Tenant> {
  const pool = await choosePool(queries, input.region)
  await queries.run(
    'insert into catalog.tenants (id, slug, name, tier_id, residency) values ($1, $2, $3, $4, $5)',
    [id, input.slug, input.name, input.tier, input.residency],
  )
  await beginPlacement(queries, {
    tenantId: id,
    epoch: FIRST_EPOCH,
    dataDatabaseId: pool.id,
    isolation: 'pool',
    schema: 'public',
  })
  await queries.run('set constraints all immediate')
  const tenant = await readTenant(queries, id)
  await admit(id, tenant.placement, await readCluster(queries, pool.clusterId))
  return tenant
}

function createRefusals(database: CatalogDatabase, input: CreateTenant) {
  const { id, slug, tier } = input
  const slugTaken = () =>
    new FreeholdError('tenant_slug_taken', `The slug ${slug} is taken.`, { details: { slug } })
  return {
    slugs_are_unique: slugTaken,
    // The slug of one and the id of another.
    name_means_one_tenant: slugTaken,
    tenants_pkey: () => new FreeholdError('tenant_id_taken', undefined, { details: { tenant: id ?? slug } }),
    tenant_id_is_canonical: () =>
      new FreeholdError('tenant_id_unfit', undefined, { details: { tenant: id ?? slug } }),
    tenant_has_a_tier: () =>
      new FreeholdError('tier_not_found', `There is no tier ${tier}.`, { details: { tier } }),
    draining_clusters_take_no_tenants: () =>
      new FreeholdError('pool_not_found', `Region ${input.region} has no pool that takes tenants.`, {
        details: { region: input.region },
        retryAfterSeconds: 1,
      }),
    placement_respects_residency: async () =>
      residencyViolation({
        tenant: slug,
        residency: input.residency ?? 'any',
        jurisdiction: (await choosePool(database, input.region)).jurisdiction,
      }),
  }
}
