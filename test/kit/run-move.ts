import type { Move } from '@freehold/contract'
import type { MoveSettings } from '@freehold/engine'
import type { MovingGround } from './moving-ground.ts'

/** A machine with other work may take long; only what is found counts. */
export const PATIENCE_MS = 900_000
export const UNHURRIED = { fenceExpiryMs: 60_000, maxLagMs: 60_000, soakIntervalMs: 100 }

/** Runs a move to its end; at barriers, each once or as often as said (`again`), something happens. */
export async function runMove(
  ground: MovingGround,
  move: Move,
  events: Readonly<Record<string, () => Promise<unknown>>> = {},
  settings: Partial<MoveSettings> = {},
) {
  const reached = new Set<string>()
  const engine = ground.engine({
    leaseMs: 30_000,
    barrier: async (name) => {
      if (events[name] === undefined || reached.has(name)) return
      if ((await events[name]()) !== 'again') reached.add(name)
    },
    settings: { ...UNHURRIED, ...settings },
  })
  engine.start()
  const ended = await ground.ended(move.id, PATIENCE_MS)
  await engine.stop()
  return { ...ended, reached: [...reached], timeline: ended.events.map(({ message }) => message) }
}
