import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ChangeStreamChoice,
  type Isolation,
  isTerminalPhase,
  type MoveDetail,
  moveTargetSchema,
  type OperationId,
  type Placement,
  type Tenant,
} from '@freehold/contract'
import { watch } from '../kit/end-of-move.ts'
import type { MovingGround } from '../kit/moving-ground.ts'
import { patiently } from '../kit/patiently.ts'
import { contentAt, copyOfTenant, databaseOf, remainsOf } from '../kit/tenant-places.ts'
import { startTenantWriter, type WriterReport } from '../kit/tenant-writer.ts'

/** Where a tenant can live. */
export interface Stop {
  readonly region: 'us' | 'eu'
  readonly isolation: Isolation
}

/**
 * What is made of a move: it is given up at a barrier; it is rolled back within its window; the window is closed by hand; it
 * has no window.
 */
export type Script =
  | { readonly kind: 'given up'; readonly at: string }
  | { readonly kind: 'rolled back' }
  | { readonly kind: 'finalised' }
  | { readonly kind: 'made' }

/** A barrier in every phase in which a move can be given up, after what that phase makes. */
export const GIVEN_UP_AT = [
  'provisioning.recorded',
  'dual_write.entered',
  'backfill.table_copied',
  'verify.entered',
  'ready.entered',
  'cutover.entered',
] as const

const WINDOW_SECONDS = 3_600
/** How soon a worker notices in the middle of a step that the move was cancelled. */
const LEASE_MS = 400
/** So that nobody else takes the move over, nor is the switch broken off, while both sides are compared. */
const UNHURRIED_MS = 60_000
/** How far behind the source the target may be: on a machine that is busy it may be no closer for minutes. */
const LAG_MS = 5_000

/** A tenant that is moved about while it is written to, and what must be true of it all the time. */
export interface Journey extends AsyncDisposable {
  /** Moves the tenant, or only begins to. @returns what is wrong afterwards. */
  go(to: Stop, script: Script, changeStream: ChangeStreamChoice): Promise<string[]>
  /** Ends the writing. @returns what is wrong with the writes, or with the neighbours. */
  arrive(): Promise<string[]>
}

/**
 * Begins in the pool of `us`, with two neighbours in both pools whose rows have the same keys but for the tenant. Everything is
 * compared by the tests' own means, and nothing is repaired.
 */
export async function startJourney(ground: MovingGround, slug: string, seed: number): Promise<Journey> {
  const tenant = await ground.tenant(slug, 80)
  const twins = await Promise.all([copyOfTenant(ground, tenant, 'us'), copyOfTenant(ground, tenant, 'eu')])
  const twinsContent = () => Promise.all(twins.map(({ id, placement }) => contentAt(ground, id, placement)))
  const neighbours = await twinsContent()
  const loaded = withoutWriter(await contentAt(ground, tenant.id, tenant.placement))
  const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant, 2, { seed })
  let report: Promise<WriterReport> | undefined
  const stop = () => {
    report ??= writer.stop()
    return report
  }

  return {
    async go(to, script, changeStream) {
      const { placement: from } = await patiently(() => ground.catalog.tenants.get(tenant.id))
      const { ended, problems } = await play(ground, tenant, from, to, script, changeStream)
      const stays = ended.phase === 'aborted' || ended.phase === 'rolled_back'
      const [, switches] = ENDS[script.kind]
      const home = await patiently(() => ground.catalog.placements.home(tenant.id))
      const expected = { ...where(stays ? from : ended.to), epoch: from.epoch + switches }
      if (JSON.stringify(where(home)) !== JSON.stringify(expected)) {
        problems.push(`the catalog has it in ${JSON.stringify(where(home))}`)
      }
      const content = withoutWriter(await contentAt(ground, tenant.id, home))
      problems.push(...tablesThatDiffer(loaded, content).map((table) => `${table} is not what was loaded`))
      const left = await remainsOf(ground, tenant.id, stays ? ended.to : from)
      problems.push(...left.map((remains) => `left: ${JSON.stringify(remains)}`))
      return problems.length === 0 ? [] : [...problems, ...timeline(ended)]
    },
    async arrive() {
      const { failures, acknowledged, differences } = await stop()
      const home = await patiently(() => ground.catalog.placements.home(tenant.id))
      return [
        ...(acknowledged > 0 ? [] : ['nothing was written']),
        ...failures.map((failure) => `a write failed: ${failure}`),
        ...(await differences(databaseOf(ground, home), home.schema)),
        ...(JSON.stringify(await twinsContent()) === JSON.stringify(neighbours)
          ? []
          : ['a neighbour has changed']),
      ]
    },
    async [Symbol.asyncDispose]() {
      await stop()
    },
  }
}

async function play(
  ground: MovingGround,
  tenant: Tenant,
  from: Placement,
  to: Stop,
  script: Script,
  changeStream: ChangeStreamChoice,
): Promise<{ ended: MoveDetail; problems: string[] }> {
  const problems: string[] = []
  const target = moveTargetSchema.parse(to)
  const hasWindow = script.kind === 'rolled back' || script.kind === 'finalised'
  const { id } = await ground.startMove(tenant, target, changeStream, {}, hasWindow ? WINDOW_SECONDS : 0)
  let cancelled = false
  let compared = 0
  const engine = ground.engine({
    leaseMs: script.kind === 'given up' ? LEASE_MS : UNHURRIED_MS,
    settings: { soakIntervalMs: 100, fenceExpiryMs: UNHURRIED_MS, maxLagMs: LAG_MS },
    barrier: async (name) => {
      if (script.kind === 'given up' && name === script.at && !cancelled) {
        cancelled = true
        await patiently(() => ground.catalog.operations.requestCancel(id))
        await sleep(LEASE_MS)
      }
      if (name !== 'cutover.retired') return
      // One side is left and the other not yet open: whatever was written is on both.
      compared++
      const { to: reached } = await patiently(() => ground.catalog.moves.get(id))
      const [left, entered] = [
        await contentAt(ground, tenant.id, from),
        await contentAt(ground, tenant.id, reached),
      ]
      problems.push(
        ...tablesThatDiffer(left, entered).map((table) => `${table} differed when the home changed`),
      )
    },
  })
  engine.start()
  try {
    if (script.kind === 'rolled back') {
      await inStep(ground, id)
      await patiently(() => ground.catalog.operations.requestRollback(id))
    } else if (script.kind === 'finalised') {
      await inStep(ground, id)
      await patiently(() => ground.catalog.operations.requestFinalize(id))
    }
    const ended = await ground.ended(id)
    const [phase, switches] = ENDS[script.kind]
    if (ended.phase !== phase) problems.push(`the move is ${ended.phase}, not ${phase}`)
    if (compared < switches) problems.push(`the home was changed ${compared} times, not ${switches}`)
    return { ended, problems }
  } finally {
    await engine.stop()
  }
}

const ENDS = {
  'given up': ['aborted', 0],
  'rolled back': ['rolled_back', 2],
  finalised: ['completed', 1],
  made: ['completed', 1],
} as const satisfies Record<Script['kind'], readonly [MoveDetail['phase'], number]>

/** Waits until the rollback window is open and changes have been carried back some times. */
async function inStep({ catalog }: MovingGround, id: OperationId): Promise<void> {
  let openedAt: number | undefined
  const look = async () => {
    const { phase, fencingToken } = await catalog.operations.get(id)
    if (phase === 'soak') openedAt ??= fencingToken
    return { phase, turns: openedAt === undefined ? undefined : fencingToken - openedAt }
  }
  const { turns = 0 } = await watch(look, (seen) => (seen.turns ?? 0) >= 2 || isTerminalPhase(seen.phase))
  if (turns < 2) throw new Error(`not in step: ${timeline(await catalog.moves.detail(id)).join('\n')}`)
}

function timeline(move: MoveDetail): string[] {
  return [
    ...move.events.map(({ phase, message }) => `  ${phase}: ${message}`),
    ...(move.error === null ? [] : [`  ${JSON.stringify(move.error)}`]),
  ]
}

function where({ cluster, database, schema, isolation, epoch }: MoveDetail['to']) {
  return { cluster, database, schema, isolation, epoch }
}

function withoutWriter(content: Record<string, string[]>): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(content).map(([table, rows]) => [
      table,
      rows.filter((row) => !row.includes('@writer.test"')),
    ]),
  )
}

/** @returns the tables in which the two have different rows. */
function tablesThatDiffer(one: Record<string, string[]>, other: Record<string, string[]>): string[] {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].filter(
    (table) => JSON.stringify(one[table]) !== JSON.stringify(other[table]),
  )
}
