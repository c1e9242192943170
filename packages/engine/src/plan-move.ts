import type { IdempotentRequest } from '@freehold/catalog'
import {
  type Catalog,
  type ClusterRecord,
  type MoveTerms,
  moverAddress,
  type Operation,
  residencyViolation,
  toMove,
} from '@freehold/catalog'
import {
  type ChangeStreamChoice,
  epochSchema,
  FreeholdError,
  type Move,
  type MovePlan,
  type MoveTarget,
  type Tenant,
} from '@freehold/contract'
import { deriveEntryKey } from '@freehold/postgres'
import { type Connections, KeptConnections } from './kept-connections.ts'
import { initialMoveState, initialProgress } from './move/state.ts'
import { isHome, type TargetChoice, targetChoices } from './placements/target-choice.ts'
import {
  type Examination,
  examineMove,
  type MoveDestination,
  type MoveSource,
  readSource,
} from './preflight/examine-move.ts'
import { describeFindings, type Finding, isBlocking, refuseBlocked } from './preflight/finding.ts'
import { type ChosenStream, chooseStream } from './stream/choose-stream.ts'

export interface MoveRequest {
  readonly tenantIdOrSlug: string
  readonly target: MoveTarget
  /** How the tenant is to be followed, in both directions; by what can be had at either end, unless said. */
  readonly changeStream?: ChangeStreamChoice
  /** How long the move is to be reversible after the switch; 0: not at all. */
  readonly rollbackWindowSeconds: number
  /** Whether rows of the target that verification finds to differ are to be rewritten; not, unless said. */
  readonly repair?: boolean | undefined
  readonly entrySecret: string
}

/** What a move would do, and what the checks before it have found. */
export interface PreparedMove {
  readonly tenant: Tenant
  readonly plan: MovePlan
  readonly findings: readonly Finding[]
  readonly changeStream: ChangeStreamChoice
}

/**
 * Finds out what a move would do, and whether it can work. Changes nothing.
 *
 * @throws FreeholdError `tenant_not_found`, `region_not_found`, `target_not_found` when there is nothing to plan.
 */
export async function planMove(catalog: Catalog, request: MoveRequest): Promise<PreparedMove> {
  const connections = new KeptConnections()
  try {
    return await planWith(connections, catalog, request)
  } finally {
    await connections.close()
  }
}

async function planWith(
  connections: Connections,
  catalog: Catalog,
  request: MoveRequest,
): Promise<PreparedMove> {
  const tenant = await catalog.tenants.get(request.tenantIdOrSlug)
  const clusters = await findClusters(catalog, request.target)
  const { placement } = tenant
  const cluster = await catalog.topology.cluster(placement.cluster)
  const mover = await moverAddress(cluster, placement.database)
  const { changeStream = 'auto' } = request
  const stream = await chooseStream(connections, mover, changeStream)
  const source: MoveSource = {
    stream: stream.kind,
    cluster,
    scope: {
      tenantId: tenant.id,
      epoch: placement.epoch,
      entryKey: deriveEntryKey(request.entrySecret, {
        tenantId: tenant.id,
        dataDatabaseId: placement.dataDatabaseId,
        epoch: placement.epoch,
      }),
      schema: placement.schema,
      mover,
    },
  }
  const choices = await targetChoices(catalog, tenant, request.target, clusters)
  const epoch = epochSchema.parse(placement.epoch + 1)
  const { rollbackWindowSeconds: seconds } = request
  const window = seconds > 0 ? { seconds, changeStream } : undefined
  const { choice, examination } = await firstThatFits(connections, tenant, source, choices, {
    epoch,
    window,
  })
  const { cluster: target, ...place } = choice
  const findings = [
    ...checkTenant(tenant),
    ...describeChoice(cluster, stream),
    ...checkTarget(tenant, choice),
    ...examination.source,
    ...examination.target,
  ]
  return {
    tenant,
    findings,
    changeStream,
    plan: {
      tenant: { id: tenant.id, slug: tenant.slug },
      from: placement,
      to: {
        ...place,
        region: target.region,
        jurisdiction: target.jurisdiction,
        cluster: target.id,
        epoch,
      },
      findings: describeFindings(findings),
      rollbackWindowSeconds: request.rollbackWindowSeconds,
      repair: request.repair ?? false,
      estimates: examination.estimates,
      tables: examination.tables.map(({ table, rowsEstimated, bytesEstimated }) => ({
        table,
        rowsEstimated,
        bytesEstimated,
      })),
    },
  }
}

/**
 * Records a planned move; workers take it up from there.
 *
 * @throws FreeholdError the error of a blocking finding, naming all of them; or when the catalog refuses what has changed since the plan: `tenant_moving`,
 * `residency_violation`, `lease_lost` when the tenant has been moved meanwhile.
 */
export async function startMove(
  catalog: Catalog,
  { tenant, plan, findings, changeStream }: PreparedMove,
  options: { readonly createdBy: string; readonly terms?: MoveTerms; readonly request?: IdempotentRequest },
): Promise<Move> {
  refuseBlocked(findings)
  const { operation }: { operation: Operation } = await catalog.operations.startMove({
    tenantId: tenant.id,
    sourceEpoch: tenant.placement.epoch,
    targetClusterId: plan.to.cluster,
    targetIsolation: plan.to.isolation,
    targetDatabaseName: plan.to.database,
    targetSchema: plan.to.schema,
    rollbackWindowSeconds: plan.rollbackWindowSeconds,
    createdBy: options.createdBy,
    state: { ...initialMoveState, changeStream, changeStreamBack: changeStream },
    progress: initialProgress(plan.tables),
    message: `Planned: ${tenant.slug} moves from ${placeName(plan.from)} to ${placeName(plan.to)} in ${plan.to.region}.`,
    terms: { ...options.terms, repair: plan.repair },
    request: options.request,
  })
  return toMove(operation)
}

async function findClusters(catalog: Catalog, target: MoveTarget): Promise<ClusterRecord[]> {
  if (target.cluster !== undefined) return [await catalog.topology.cluster(target.cluster)]
  if (target.region !== undefined) return catalog.topology.clustersIn(target.region)
  throw new FreeholdError('invalid_request', 'Name either a region or a cluster.')
}

/** What the catalog itself says against the move. It refuses it again, by constraint. */
function checkTenant({ slug, activeMoveId }: Tenant): Finding[] {
  if (activeMoveId === null) return []
  const found = `Tenant ${slug} is being moved already.`
  return [{ code: 'tenant_moving', object: slug, found, details: { tenant: slug, move: activeMoveId } }]
}

function describeChoice({ id }: ClusterRecord, { because }: ChosenStream): Finding[] {
  if (because === undefined) return []
  return [
    { code: 'followed_by_triggers', object: id, found: `The log of ${id} is not to be had: ${because}.` },
  ]
}

function checkTarget({ slug, residency, placement }: Tenant, choice: TargetChoice): Finding[] {
  const { cluster: target, database, isolation } = choice
  const findings: Finding[] = []
  if (residency !== null && residency !== target.jurisdiction) {
    const { message, details } = residencyViolation({
      tenant: slug,
      residency,
      jurisdiction: target.jurisdiction,
    })
    findings.push({ code: 'residency_violation', object: target.id, found: message, details })
  }
  if (isHome(placement, choice)) {
    const place = isolation === 'silo' ? target.id : `${target.id}/${database}`
    const found = `Tenant ${slug} lives on ${place} as ${isolation} already.`
    findings.push({
      code: 'target_is_home',
      object: target.id,
      found,
      details: { tenant: slug, cluster: target.id },
    })
  }
  return findings
}

/** The first place that nothing speaks against; when there is none, the first. */
async function firstThatFits(
  connections: Connections,
  tenant: Tenant,
  source: MoveSource,
  choices: readonly TargetChoice[],
  asked: Pick<MoveDestination, 'epoch' | 'window'>,
): Promise<{ readonly choice: TargetChoice; readonly examination: Examination }> {
  let reading: ReturnType<typeof readSource> | undefined
  let first: { readonly choice: TargetChoice; readonly examination: Examination } | undefined
  for (const choice of choices) {
    reading ??= readSource(connections, source)
    const examination = await examineMove(connections, source, { ...choice, ...asked }, reading)
    const examined = { choice, examination }
    if (![...checkTarget(tenant, choice), ...examination.target].some(isBlocking)) return examined
    first ??= examined
  }
  if (first === undefined) throw new FreeholdError('target_not_found')
  return first
}

function placeName({ isolation, database, schema }: MovePlan['to']): string {
  return isolation === 'schema' ? `${database}.${schema}` : database
}
