import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Tenant } from '@freehold/contract'
import { asSuperuser } from '../../../test/kit/databases.ts'
import type { MovingGround } from '../../../test/kit/moving-ground.ts'
import type { Interval } from '../../../test/load/index.ts'
import { now } from '../../../test/load/measure/recorder.ts'
import { type TimedMove, timeMove } from '../moving/timed-move.ts'
import type { Traffic } from '../traffic/traffic.ts'
import type { Cutover } from './summary.ts'

/** What is asked of a tenant. */
export interface TenantLoad {
  readonly writesPerSecond: number
  readonly readsPerSecond: number
}

const WARM_UP_MS = 500
const AFTERWARDS_MS = 200

export interface MeasuredCutover {
  readonly cutover: Cutover
  /** While the tenant had traffic and nothing was moved. */
  readonly before: Interval
  readonly during: Interval
  /** Of the move, by phase. */
  readonly spans: Readonly<Record<string, Interval>>
}

/**
 * Has a tenant that stays written and read like one that moves, while a process does nothing but use a processor: what that alone
 * does to its neighbours.
 *
 * @returns when.
 */
export async function besideBurner(
  ground: MovingGround,
  traffic: Traffic,
  tenant: Tenant,
  load: TenantLoad,
  durationMs: number,
  signal: AbortSignal,
): Promise<Interval> {
  await beginTraffic(ground, traffic, tenant, load, signal)
  const burner = spawn(process.execPath, ['-e', 'for (;;);'])
  try {
    await sleep(WARM_UP_MS, undefined, { signal })
    const from = now()
    await sleep(durationMs, undefined, { signal })
    return { from, to: now() }
  } finally {
    burner.kill('SIGKILL')
    await traffic.end(tenant.id, asSuperuser(ground.us.cluster, 'pool'))
  }
}

async function beginTraffic(
  ground: MovingGround,
  traffic: Traffic,
  tenant: Tenant,
  { writesPerSecond, readsPerSecond }: TenantLoad,
  signal: AbortSignal,
): Promise<void> {
  const catalog = ground.us.as('freehold_reader', 'freehold_catalog')
  await traffic.begin({ tenant, catalog, writesPerSecond, readsPerSecond })
  await sleep(WARM_UP_MS, undefined, { signal })
}

/** Moves a tenant under its traffic, and holds what was acknowledged against its new home. */
export async function measureCutover(
  ground: MovingGround,
  traffic: Traffic,
  tenant: Tenant,
  load: TenantLoad,
  beforeMs: number,
  signal: AbortSignal,
): Promise<MeasuredCutover> {
  await beginTraffic(ground, traffic, tenant, load, signal)
  const before = { from: now(), to: now() + beforeMs }
  await sleep(beforeMs, undefined, { signal })
  const timed = await timeMove(ground, tenant, {}, signal)
  const { move, startedAt, first, last } = timed
  const during = { from: startedAt, to: last('completed.entered') }
  await sleep(AFTERWARDS_MS, undefined, { signal })

  const window = { from: first('cutover.entered'), to: last('finalize.entered') }
  const middle = (before.from + before.to) / 2
  const quiet = { from: middle, to: middle + (window.to - window.from) }
  const activatedAt = last('cutover.activated')
  const [pause, quietPause, firstWriteAt, writesPerSecond, home] = await Promise.all([
    traffic.pause(tenant.id, window),
    traffic.pause(tenant.id, quiet),
    traffic.firstWriteFrom(tenant.id, activatedAt),
    traffic.writesPerSecond(tenant.id, during),
    ground.catalog.placements.home(tenant.id),
  ])
  const report = await traffic.end(tenant.id, asSuperuser(ground.eu.cluster, home.database))
  const cutover = {
    writePauseMs: pause.writeMs,
    readPauseMs: pause.readMs,
    quietWritePauseMs: quietPause.writeMs,
    quietReadPauseMs: quietPause.readMs,
    engineMs: move.progress.writePauseMs ?? 0,
    stepsMs: { ...engineSteps(timed), 'first write there': firstWriteAt - activatedAt },
    attempts: move.progress.cutoverAttempts,
    writesPerSecond,
    failures: report.failures,
    differences: report.differences,
  }
  return { cutover, before, during, spans: timed.spans() }
}

/** The durable writes of a switch, in order, by what was done when each was. */
const STEPS = {
  fence: 'fenced',
  drain: 'drained',
  seal: 'sealed',
  freeze: 'frozen',
  home: 'home_switched',
  retire: 'retired',
  activate: 'activated',
} as const

/** What the steps of the attempt that succeeded took, ms. */
function engineSteps({ last }: TimedMove): Record<string, number> {
  let before = last('cutover.intended')
  return Object.fromEntries(
    Object.entries(STEPS).map(([step, done]) => {
      const at = last(`cutover.${done}`)
      const took = at - before
      before = at
      return [step, took]
    }),
  )
}
