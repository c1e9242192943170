import { setTimeout as sleep } from 'node:timers/promises'
import type { Tenant } from '@freehold/contract'
import { asSuperuser } from '../../../test/kit/databases.ts'
import type { MovingGround } from '../../../test/kit/moving-ground.ts'
import { secondsBetween, type TimedPhases, timeMove } from '../moving/timed-move.ts'
import type { Traffic } from '../traffic/traffic.ts'

export interface WholeMove {
  /** From the request to the last row purged from the source. */
  readonly seconds: number
  /** From the request to the new home. */
  readonly switchedSeconds: number
  /** What each phase took. */
  readonly phases: TimedPhases
  readonly writesPerSecond: number
  readonly failed: number
  readonly lost: number
}

/** Sent a little more often than the budget says: a pause takes its share. */
const WRITES_PER_SECOND = 740
const READS_PER_SECOND = 100
const WARM_UP_MS = 1_000

/** Moves a tenant for good while it is written, and holds what was acknowledged against its new home. */
export async function wholeMove(
  ground: MovingGround,
  traffic: Traffic,
  tenant: Tenant,
  signal: AbortSignal,
): Promise<WholeMove> {
  await traffic.begin({
    tenant,
    catalog: ground.us.as('freehold_reader', 'freehold_catalog'),
    writesPerSecond: WRITES_PER_SECOND,
    readsPerSecond: READS_PER_SECOND,
  })
  await sleep(WARM_UP_MS, undefined, { signal })
  const { startedAt, last, phases } = await timeMove(ground, tenant, {}, signal)
  const endedAt = last('completed.entered')
  const writesPerSecond = await traffic.writesPerSecond(tenant.id, { from: startedAt, to: endedAt })
  const home = await ground.catalog.placements.home(tenant.id)
  const report = await traffic.end(tenant.id, asSuperuser(ground.eu.cluster, home.database))
  return {
    seconds: secondsBetween(startedAt, endedAt),
    switchedSeconds: secondsBetween(startedAt, last('finalize.entered')),
    phases: phases(),
    writesPerSecond,
    failed: report.failures.length,
    lost: report.differences.length,
  }
}
