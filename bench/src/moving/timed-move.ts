import { setTimeout as sleep } from 'node:timers/promises'
import { type MoveDetail, type MoveTarget, straightMovePhases, type Tenant } from '@freehold/contract'
import type { MoveSettings } from '@freehold/engine'
import type { MovingGround } from '../../../test/kit/moving-ground.ts'
import type { Interval } from '../../../test/load/index.ts'
import { now } from '../../../test/load/measure/recorder.ts'
import { median } from '../statistics.ts'
import { rounded } from './budget.ts'

/** Seconds by phase. */
export type TimedPhases = Readonly<Record<string, number>>

/** A move that has ended, and when what happened, in milliseconds since 1970. */
export interface TimedMove {
  readonly move: MoveDetail
  readonly startedAt: number
  /** When the first durable write of this name was done: `verify.entered`, `backfill.copied`. @throws when it was not. */
  first(name: string): number
  /** When the last of this name was done. @throws when there was none. */
  last(name: string): number
  /** From when to when the move was in each phase. @throws when the tenant has not moved. */
  spans(): Readonly<Record<string, Interval>>
  /** What each phase took, in seconds. @throws when the tenant has not moved. */
  phases(): TimedPhases
}

/** Those that are entered: none of these moves has a rollback window. */
const PHASES = straightMovePhases.filter((phase) => phase !== 'planned' && phase !== 'soak')

const GIVEN_BACK_MS = 50

/** Plans a move to a silo in `eu` unless told otherwise, runs it with an engine of its own in this process, and waits for its end. */
export async function timeMove(
  ground: MovingGround,
  tenant: Tenant,
  settings: Partial<MoveSettings>,
  signal: AbortSignal,
  to?: string | MoveTarget,
): Promise<TimedMove> {
  signal.throwIfAborted()
  const barriers: { readonly name: string; readonly at: number }[] = []
  const engine = ground.engine({
    settings,
    barrier: async (name) => {
      barriers.push({ name, at: now() })
    },
  })
  const stop = () => void engine.stop()
  signal.addEventListener('abort', stop, { once: true })
  try {
    const startedAt = now()
    const { id } = await ground.startMove(tenant, to)
    await engine.nudge(id)
    let move = await ground.catalog.moves.detail(id)
    while (move.finishedAt === null) {
      // Given back, it waits a little before it goes on.
      await sleep(GIVEN_BACK_MS, undefined, { signal })
      await engine.nudge(id)
      move = await ground.catalog.moves.detail(id)
    }
    const at = (name: string, found: { readonly at: number } | undefined) => {
      if (found === undefined)
        throw new Error(`the move ended as ${move.phase} without ${name}: ${describe(move)}`)
      return found.at
    }
    const first = (name: string) =>
      at(
        name,
        barriers.find((barrier) => barrier.name === name),
      )
    const spans = () => {
      const began = ['planned', ...PHASES]
      const entered = [startedAt, ...PHASES.map((phase) => first(`${phase}.entered`))]
      return Object.fromEntries(
        PHASES.map((_, index) => [
          began[index] ?? '',
          { from: entered[index] ?? 0, to: entered[index + 1] ?? 0 },
        ]),
      )
    }
    return {
      move,
      startedAt,
      first,
      last: (name) =>
        at(
          name,
          barriers.findLast((barrier) => barrier.name === name),
        ),
      spans,
      phases: () =>
        Object.fromEntries(
          Object.entries(spans()).map(([phase, { from, to }]) => [phase, secondsBetween(from, to)]),
        ),
    }
  } finally {
    signal.removeEventListener('abort', stop)
    await engine.stop()
  }
}

/** The median of each phase over some moves, in seconds. */
export function phaseMedians(moves: readonly TimedPhases[]): TimedPhases {
  const names = Object.keys(moves[0] ?? {})
  return Object.fromEntries(
    names.map((name) => [name, rounded(median(moves.map((phases) => phases[name] ?? Number.NaN)))]),
  )
}

/** Seconds between two instants. */
export function secondsBetween(from: number, to: number): number {
  return (to - from) / 1_000
}

function describe(move: MoveDetail): string {
  return move.events.map(({ message }) => message).join(' ')
}
