import {
  type ClusterId,
  clusterIdSchema,
  type Evacuation,
  type EvacuationId,
  type EvacuationTarget,
  evacuationIdSchema,
  evacuationTenantSchema,
  FreeholdError,
  operationIdSchema,
  type Problem,
  problemSchema,
  regionIdSchema,
  slugSchema,
  type TenantId,
  tenantIdSchema,
} from '@freehold/contract'
import { z } from 'zod'
import type { CatalogDatabase, Queries } from './database.ts'
import { clusterDraining } from './refusals.ts'
import { bigintRow, instantRow } from './rows.ts'
import { clusterNotFound, requireRegion, unknownCluster } from './topology.ts'

export interface NewEvacuation {
  readonly cluster: ClusterId
  readonly target: EvacuationTarget
  readonly maxConcurrent: number
  readonly createdBy: string
}

/** An evacuation that has not ended, as workers carry it out. */
export interface OpenEvacuation {
  readonly id: EvacuationId
  readonly cluster: ClusterId
  readonly target: EvacuationTarget
  readonly createdBy: string
}

/** A tenant whose move is to be started, or has failed. */
export interface EvacuationAttempt {
  readonly evacuation: EvacuationId
  readonly tenantId: TenantId
  /** Attempts so far, this one included. */
  readonly attempts: number
}

const SHOWN_TENANTS = 200
/** A worker that takes longer to plan one move is taken for dead. */
const PLANNING_SECONDS = 120

const evacuationRow = z
  .object({
    id: evacuationIdSchema,
    cluster: clusterIdSchema,
    region: regionIdSchema.nullable(),
    to: clusterIdSchema.nullable(),
    maxConcurrent: z.int(),
    createdBy: z.string(),
    createdAt: instantRow,
    finishedAt: instantRow.nullable(),
    seconds: z.number(),
  })
  .transform(({ region, to, ...evacuation }) => ({ ...evacuation, target: targetOf(region, to) }))

const EVACUATION_COLUMNS = `
  id, cluster_id as cluster, target_region as region, target_cluster as to, max_concurrent as "maxConcurrent",
  created_by as "createdBy", created_at as "createdAt", finished_at as "finishedAt",
  extract(epoch from coalesce(finished_at, clock_timestamp()) - created_at)::float8 as seconds`

const attemptRow = z.object({ tenantId: tenantIdSchema, attempts: z.int() })

const shownTenantRow = evacuationTenantSchema
  .omit({ tenant: true })
  .extend({
    tenantId: tenantIdSchema,
    slug: slugSchema,
    nextAttemptAt: instantRow.nullable(),
    move: operationIdSchema.nullable(),
    problem: problemSchema.nullable(),
  })
  .transform(({ tenantId: id, slug, ...rest }) => ({ tenant: { id, slug }, ...rest }))

/** Homes on a cluster, as a table expression with `tenant_id`, `slug` and `cluster_id`. */
const HOMES = `(
  select placements.tenant_id, tenants.slug, data_databases.cluster_id
  from catalog.placements
  join catalog.data_databases on data_databases.id = placements.data_database_id
  join catalog.tenants on tenants.id = placements.tenant_id
  where placements.until is null) homes`

export type EvacuationsCatalog = ReturnType<typeof createEvacuations>

/** Emptying clusters of their tenants. Each function may be called by any number of workers at once. */
export function createEvacuations(database: CatalogDatabase) {
  return {
    /**
     * Marks a cluster as draining and begins to empty it, or goes on with what was begun: with the new target, and again
     * with the tenants that had been refused.
     *
     * @throws FreeholdError `cluster_not_found`, and as {@link requireTarget}.
     */
    async begin(wanted: NewEvacuation): Promise<{ evacuation: Evacuation }> {
      return database.transaction(async (queries) => {
        await mark(queries, wanted.cluster, 'coalesce(draining_since, clock_timestamp())')
        await requireTarget(queries, wanted)
        const { region, cluster } = { region: undefined, cluster: undefined, ...wanted.target }
        const terms = [region ?? null, cluster ?? null, wanted.maxConcurrent, wanted.createdBy]
        await queries.run(
          `insert into catalog.evacuations (cluster_id, target_region, target_cluster, max_concurrent, created_by)
           values ($1, $2, $3, $4, $5)
           on conflict (cluster_id) where finished_at is null do update set target_region = excluded.target_region,
             target_cluster = excluded.target_cluster, max_concurrent = excluded.max_concurrent`,
          [wanted.cluster, ...terms],
        )
        const { id } = await latest(queries, wanted.cluster)
        await queries.run(
          `update catalog.evacuation_tenants set state = 'waiting', attempts = 0, next_attempt_at = clock_timestamp()
           where evacuation_id = $1 and state in ('waiting', 'refused')`,
          [id],
        )
        await enlist(queries, id, wanted.cluster)
        return { evacuation: await show(queries, wanted.cluster) }
      })
    },

    /**
     * Lets tenants and moves be placed on the cluster again and ends its evacuation. Moves of it that have not begun are
     * given up; the others go to their end. Nothing happens to a cluster that is not drained.
     *
     * @throws FreeholdError `cluster_not_found`
     */
    async undrain(cluster: ClusterId): Promise<void> {
      await database.transaction(async (queries) => {
        await mark(queries, cluster, 'null')
        // Whoever is recording a move of it holds the row: that move is seen below, and no other begins.
        await queries.run(
          'select from catalog.evacuations where cluster_id = $1 and finished_at is null for update',
          [cluster],
        )
        await queries.run(
          `update catalog.operations set cancel_requested = true, updated_at = clock_timestamp()
           where finished_at is null and phase = 'planned' and lease_owner is null and evacuation_id in (
             select id from catalog.evacuations where cluster_id = $1 and finished_at is null)`,
          [cluster],
        )
        await queries.run(
          'update catalog.evacuations set finished_at = clock_timestamp() where cluster_id = $1 and finished_at is null',
          [cluster],
        )
      })
    },

    /** The newest evacuation of a cluster. @throws FreeholdError `evacuation_not_found` */
    get: (cluster: ClusterId): Promise<Evacuation> => show(database, cluster),

    /**
     * Sees to it that there is somewhere for the tenants of a cluster to go, before each of them is asked about.
     *
     * @throws FreeholdError `region_not_found`, `target_not_found`, `cluster_draining`
     */
    requireTarget: (wanted: Pick<NewEvacuation, 'cluster' | 'target'>): Promise<void> =>
      requireTarget(database, wanted),

    /** The tenants that live on a cluster, by slug, a page at a time; `left` counts all of them. */
    async residents(
      cluster: ClusterId,
      limit: number,
      after = '',
    ): Promise<{ left: number; slugs: string[] }> {
      const found = await database.all(
        z.object({ slug: z.string() }),
        `select slug from ${HOMES} where cluster_id = $1 and slug > $3 order by slug limit $2`,
        [cluster, limit, after],
      )
      return { left: await countLeft(database, cluster), slugs: found.map(({ slug }) => slug) }
    },

    open: (): Promise<OpenEvacuation[]> =>
      database.all(
        evacuationRow,
        `select ${EVACUATION_COLUMNS} from catalog.evacuations where finished_at is null order by created_at`,
      ),

    /**
     * Brings the list up to date with what has become of the tenants: those that are being moved, that have left, and
     * that have come to the cluster. Ends the evacuation when nothing is left to be done.
     *
     * @returns the tenants whose moves have failed, with why.
     */
    async settle({
      id,
      cluster,
    }: OpenEvacuation): Promise<(EvacuationAttempt & { readonly problem: Problem | null })[]> {
      return database.transaction(async (queries) => {
        await queries.run('select from catalog.evacuations where id = $1 for update', [id])
        await queries.run(
          `update catalog.evacuation_tenants listed
           set state = 'moving', operation_id = operations.id, problem = null
           from catalog.operations
           where listed.evacuation_id = $1 and listed.state in ('waiting', 'planning')
             and operations.evacuation_id = $1 and operations.tenant_id = listed.tenant_id
             and operations.finished_at is null`,
          [id],
        )
        await queries.run(
          `update catalog.evacuation_tenants listed set state = 'moved', problem = null
           where evacuation_id = $1 and state <> 'moved'
             and not exists (select from ${HOMES} where homes.tenant_id = listed.tenant_id and cluster_id = $2)
             and not exists (
               select from catalog.operations where operations.tenant_id = listed.tenant_id
                 and operations.finished_at is null and operations.phase <> 'soak')`,
          [id, cluster],
        )
        if (await hasNothingLeft(queries, id)) await enlist(queries, id, cluster)
        await queries.run(
          `update catalog.evacuations set finished_at = clock_timestamp()
           where id = $1 and finished_at is null
             and not exists (
               select from catalog.evacuation_tenants where evacuation_id = $1 and state not in ('moved', 'refused'))
             and not exists (
               select from catalog.operations where target_cluster_id = $2 and finished_at is null)`,
          [id, cluster],
        )
        const failed = await queries.all(
          attemptRow.extend({ problem: problemSchema.nullable() }),
          `select listed.tenant_id as "tenantId", listed.attempts, operations.error as problem
           from catalog.evacuation_tenants listed join catalog.operations on operations.id = operation_id
           where listed.evacuation_id = $1 and listed.state = 'moving' and operations.finished_at is not null`,
          [id],
        )
        return failed.map((attempt) => ({ evacuation: id, ...attempt }))
      })
    },

    /** Takes tenants whose turn it is, as many as may be moved at the same time; their moves are to be started now. */
    async claim({ id }: OpenEvacuation): Promise<EvacuationAttempt[]> {
      return database.transaction(async (queries) => {
        await queries.run('select from catalog.evacuations where id = $1 for update', [id])
        const claimed = await queries.all(
          attemptRow,
          `update catalog.evacuation_tenants
           set state = 'planning', attempts = attempts + 1, operation_id = null,
             next_attempt_at = clock_timestamp() + $2 * interval '1 second'
           where evacuation_id = $1 and tenant_id in (
             select tenant_id from catalog.evacuation_tenants
             where evacuation_id = $1 and state in ('waiting', 'planning') and next_attempt_at <= clock_timestamp()
             order by attempts, tenant_id
             limit greatest(0, (
               select max_concurrent from catalog.evacuations where id = $1 and finished_at is null) - (
               select count(*) from catalog.evacuation_tenants
               where evacuation_id = $1
                 and (state = 'moving' or state = 'planning' and next_attempt_at > clock_timestamp()))))
           returning tenant_id as "tenantId", attempts`,
          [id, PLANNING_SECONDS],
        )
        return claimed.map((attempt) => ({ evacuation: id, ...attempt }))
      })
    },

    /** An attempt has failed, and is repeated later. */
    async defer(attempt: EvacuationAttempt, problem: Problem, afterMs: number): Promise<void> {
      await conclude(database, attempt, 'waiting', problem, afterMs)
    },

    /** An attempt has failed, and another would as well. */
    async refuse(attempt: EvacuationAttempt, problem: Problem): Promise<void> {
      await conclude(database, attempt, 'refused', problem, 0)
    },
  }
}

/** Only what is about this very attempt: another worker may have made the next one. */
async function conclude(
  database: CatalogDatabase,
  attempt: EvacuationAttempt,
  state: 'waiting' | 'refused',
  problem: Problem,
  afterMs: number,
): Promise<void> {
  await database.run(
    `update catalog.evacuation_tenants
     set state = $4, problem = $5, next_attempt_at = clock_timestamp() + $6 * interval '1 millisecond'
     where evacuation_id = $1 and tenant_id = $2 and attempts = $3 and state in ('planning', 'moving')`,
    [attempt.evacuation, attempt.tenantId, attempt.attempts, state, JSON.stringify(problem), afterMs],
  )
}

async function mark(queries: Queries, cluster: ClusterId, since: string): Promise<void> {
  const marked = await queries.run(`update catalog.clusters set draining_since = ${since} where id = $1`, [
    cluster,
  ])
  if (marked === 0) throw unknownCluster(cluster)
}

async function requireTarget(
  queries: Queries,
  { cluster, target }: Pick<NewEvacuation, 'cluster' | 'target'>,
): Promise<void> {
  if ('region' in target) {
    const { region } = target
    const others = await queries.first(
      z.object({}),
      'select from catalog.clusters where region_id = $1 and id <> $2 and draining_since is null limit 1',
      [region, cluster],
    )
    if (others !== undefined) return
    await requireRegion(queries, region)
    throw nowhere(cluster, `Region ${region} has no other cluster that takes moves`, { region })
  }
  if (target.cluster === cluster) throw nowhere(cluster, 'They are to leave it', {})
  const chosen = await queries.first(
    z.object({ draining: z.boolean() }),
    'select draining_since is not null as draining from catalog.clusters where id = $1',
    [target.cluster],
  )
  if (chosen === undefined) throw clusterNotFound(target.cluster)
  if (chosen.draining) throw clusterDraining(target.cluster)
}

function nowhere(
  cluster: ClusterId,
  because: string,
  details: Readonly<Record<string, string>>,
): FreeholdError {
  const message = `${because}: the tenants of ${cluster} have nowhere to go.`
  return new FreeholdError('target_not_found', message, { details: { cluster, ...details } })
}

/** Tenants that have come back count as those that have never left. */
async function enlist(queries: Queries, id: EvacuationId, cluster: ClusterId): Promise<void> {
  await queries.run(
    `insert into catalog.evacuation_tenants (evacuation_id, tenant_id)
     select $1, tenant_id from ${HOMES} where cluster_id = $2
     on conflict (evacuation_id, tenant_id) do update set state = 'waiting', next_attempt_at = clock_timestamp()
     where evacuation_tenants.state = 'moved'`,
    [id, cluster],
  )
}

/** Only then it is worth looking at every home whether a tenant has come to the cluster meanwhile. */
async function hasNothingLeft(queries: Queries, id: EvacuationId): Promise<boolean> {
  const open = await queries.first(
    z.object({}),
    `select from catalog.evacuation_tenants where evacuation_id = $1 and state not in ('moved', 'refused') limit 1`,
    [id],
  )
  return open === undefined
}

async function latest(queries: Queries, cluster: ClusterId) {
  const found = await queries.first(
    evacuationRow,
    `select ${EVACUATION_COLUMNS} from catalog.evacuations where cluster_id = $1 order by created_at desc limit 1`,
    [cluster],
  )
  if (found !== undefined) return found
  throw new FreeholdError('evacuation_not_found', `Cluster ${cluster} has never been drained.`, {
    details: { cluster },
  })
}

async function show(queries: Queries, cluster: ClusterId): Promise<Evacuation> {
  const { seconds, ...evacuation } = await latest(queries, cluster)
  const counts = await queries.all(
    z.object({ state: evacuationTenantSchema.shape.state, count: bigintRow }),
    'select state, count(*) from catalog.evacuation_tenants where evacuation_id = $1 group by state',
    [evacuation.id],
  )
  const count = (...states: string[]) =>
    counts.filter(({ state }) => states.includes(state)).reduce((sum, each) => sum + each.count, 0)
  const tenants = await queries.all(
    shownTenantRow,
    `select tenant_id as "tenantId", tenants.slug, state, attempts, operation_id as move, problem,
       case when state = 'waiting' and next_attempt_at > clock_timestamp() then next_attempt_at end as "nextAttemptAt"
     from catalog.evacuation_tenants join catalog.tenants on tenants.id = tenant_id
     where evacuation_id = $1
     order by problem is null, array_position(array['refused', 'moving', 'planning', 'waiting'], state), slug limit $2`,
    [evacuation.id, SHOWN_TENANTS],
  )
  const [moved, moving, waiting] = [count('moved'), count('moving', 'planning'), count('waiting')]
  const perSecond = moved === 0 || seconds <= 0 ? null : moved / seconds
  const goesOn = evacuation.finishedAt === null && moving + waiting > 0
  return {
    ...evacuation,
    moved,
    moving,
    waiting,
    refused: count('refused'),
    left: await countLeft(queries, cluster),
    tenantsPerHour: perSecond && perSecond * 3_600,
    etaSeconds: goesOn && perSecond !== null ? Math.ceil((moving + waiting) / perSecond) : null,
    tenants,
  }
}

async function countLeft(queries: Queries, cluster: ClusterId): Promise<number> {
  const found = await queries.first(
    z.object({ left: bigintRow }),
    `select count(*) as left from ${HOMES} where cluster_id = $1`,
    [cluster],
  )
  return found?.left ?? 0
}

function targetOf(region: string | null, cluster: string | null): EvacuationTarget {
  return cluster === null
    ? { region: regionIdSchema.parse(region) }
    : { cluster: clusterIdSchema.parse(cluster) }
}
