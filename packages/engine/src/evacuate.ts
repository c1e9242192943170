import type { Catalog, EvacuationAttempt, OpenEvacuation } from '@freehold/catalog'
import {
  type ClusterId,
  type DrainPlan,
  type ErrorCode,
  type EvacuationTarget,
  FreeholdError,
  type MoveTarget,
  type OperationId,
  type Placement,
  type Problem,
  type Slug,
} from '@freehold/contract'
import { classifyFailure } from './failure.ts'
import { planMove, startMove } from './plan-move.ts'
import { refuseBlocked } from './preflight/finding.ts'

/** Failures that may be over by themselves later. */
const CURABLE: readonly ErrorCode[] = [
  'tenant_moving',
  'lease_lost',
  'source_unreachable',
  'target_unreachable',
  'source_busy',
  'catalog_unavailable',
  'database_unavailable',
  'cutover_timeout',
  'change_stream_failed',
  'operation_retries_exhausted',
]
const MAX_ATTEMPTS = 12
const BACK_OFF_MS = 2_000
const MAX_BACK_OFF_MS = 600_000
/** So few that an answer does not take long. */
const CHECKED_TENANTS = 20

/**
 * Takes every evacuation as far as it goes now: concludes moves that have failed, and starts the next ones. What is
 * under way stands in the catalog, so any number of engines may do this at the same time.
 *
 * @returns the moves started.
 */
export async function advanceEvacuations(catalog: Catalog, entrySecret: string): Promise<OperationId[]> {
  const started: OperationId[] = []
  for (const evacuation of await catalog.evacuations.open()) {
    for (const { problem, ...attempt } of await catalog.evacuations.settle(evacuation)) {
      await conclude(catalog, attempt, problem ?? new FreeholdError('internal').toProblem())
    }
    for (const attempt of await catalog.evacuations.claim(evacuation)) {
      const move = await startAttempt(catalog, entrySecret, evacuation, attempt)
      if (move !== undefined) started.push(move)
    }
  }
  return started
}

/**
 * Finds out what draining a cluster would do, for some of its tenants at a time. Changes nothing.
 *
 * @throws FreeholdError `region_not_found`, `target_not_found`, `cluster_draining` when there is nowhere to go for any of them.
 */
export async function planDrain(
  catalog: Catalog,
  request: {
    readonly cluster: ClusterId
    readonly target: EvacuationTarget
    /** The last tenant of the answer before. */
    readonly after?: Slug | undefined
    readonly entrySecret: string
  },
): Promise<DrainPlan> {
  const { cluster, target, after, entrySecret } = request
  await catalog.evacuations.requireTarget(request)
  const { left, slugs } = await catalog.evacuations.residents(cluster, CHECKED_TENANTS + 1, after)
  const tenants: DrainPlan['tenants'] = []
  for (const slug of slugs.slice(0, CHECKED_TENANTS)) {
    const { id, slug: name, placement } = await catalog.tenants.get(slug)
    const planned = await planMove(catalog, {
      tenantIdOrSlug: id,
      target: moveTarget(placement, target),
      changeStream: 'auto',
      // A window would keep what is to go on the cluster that is to be empty.
      rollbackWindowSeconds: 0,
      entrySecret,
    })
      .then(({ plan, findings }) => {
        refuseBlocked(findings)
        return { to: plan.to.cluster, problem: null }
      })
      .catch((error: unknown) => ({ to: null, problem: problemOf(error) }))
    tenants.push({ tenant: { id, slug: name }, ...planned })
  }
  const last = tenants.at(-1)
  const next = slugs.length > CHECKED_TENANTS && last !== undefined ? last.tenant.slug : null
  return { cluster, target, left, tenants, next }
}

async function startAttempt(
  catalog: Catalog,
  entrySecret: string,
  evacuation: OpenEvacuation,
  attempt: EvacuationAttempt,
): Promise<OperationId | undefined> {
  try {
    const { placement } = await catalog.tenants.get(attempt.tenantId)
    const prepared = await planMove(catalog, {
      tenantIdOrSlug: attempt.tenantId,
      target: moveTarget(placement, evacuation.target),
      changeStream: 'auto',
      // A window would keep what is to go on the cluster that is to be empty.
      rollbackWindowSeconds: 0,
      entrySecret,
    })
    const terms = { evacuation: evacuation.id }
    const { id } = await startMove(catalog, prepared, { createdBy: evacuation.createdBy, terms })
    return id
  } catch (error) {
    await conclude(catalog, attempt, problemOf(error))
    return undefined
  }
}

async function conclude(catalog: Catalog, attempt: EvacuationAttempt, problem: Problem): Promise<void> {
  const isCurable = CURABLE.some((code) => code === problem.code)
  if (!isCurable || attempt.attempts >= MAX_ATTEMPTS) return catalog.evacuations.refuse(attempt, problem)
  const wait = Math.min(BACK_OFF_MS * 2 ** (attempt.attempts - 1), MAX_BACK_OFF_MS)
  return catalog.evacuations.defer(attempt, problem, Math.round(wait * (0.5 + Math.random())))
}

/** Elsewhere, and kept apart as before. */
function moveTarget({ isolation }: Placement, target: EvacuationTarget): MoveTarget {
  return { isolation, ...target }
}

function problemOf(error: unknown): Problem {
  if (error instanceof FreeholdError) return error.toProblem()
  const { code, message } = classifyFailure(error)
  return new FreeholdError(code, message).toProblem()
}
