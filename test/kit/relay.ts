import { setTimeout as sleep } from 'node:timers/promises'
import type { MoveDetail, OperationId } from '@freehold/contract'
import type { Engine } from '@freehold/engine'
import { withClient } from '@freehold/postgres'
import { haltAt } from './halt-at.ts'
import type { MovingGround } from './moving-ground.ts'

/** So long that a worker does not notice by itself that its lease is gone. */
const UNNOTICED_LEASE_MS = 600_000
const NUDGE_MS = 20
const FAILED_WITHIN_MS = 300_000
/** What a worker that goes on when all is over may still do. */
const AFTERMATH_MS = 50

/**
 * Has a move made by workers of which each stands still at the next of the barriers, loses its lease there, and goes on when the
 * one that came after all of them has brought the move to its end.
 *
 * @param taken called when another worker may take the move over at a barrier.
 */
export async function relay(
  ground: MovingGround,
  id: OperationId,
  barriers: readonly string[],
  taken: (barrier: string) => Promise<void> = async () => undefined,
): Promise<MoveDetail> {
  const settings = { soakIntervalMs: 100 }
  const slow: { readonly engine: Engine; readonly goOn: () => void; readonly run: Promise<void> }[] = []
  for (const barrier of barriers) {
    const halt = haltAt(barrier)
    const engine = ground.engine({ settings, leaseMs: UNNOTICED_LEASE_MS, barrier: halt.barrier })
    slow.push({ engine, goOn: halt.goOn, run: keepNudging(engine, id, halt.reached) })
    await halt.reached
    await expireLease(ground, id)
    await taken(barrier)
  }
  const last = ground.engine({ settings })
  last.start()
  const ended = await ground.ended(id)
  for (const { goOn } of slow) goOn()
  await Promise.all(slow.map(({ run }) => run))
  await sleep(AFTERMATH_MS)
  for (const { engine } of slow) await engine.stop()
  await last.stop()
  return ended
}

/** Has the time of a move's lease passed. */
export async function expireLease(ground: MovingGround, id: OperationId): Promise<void> {
  await withClient(ground.us.as('freehold_control', 'freehold_catalog'), 'test', (client) =>
    client.query(
      "update catalog.operations set lease_expires_at = clock_timestamp() - interval '1 s' where id = $1",
      [id],
    ),
  )
}

/** Waits until so many attempts have failed, and has none of them wait for its time. */
export async function keepFailing(ground: MovingGround, id: OperationId, attempts: number): Promise<void> {
  const { operations } = ground.catalog
  const deadline = performance.now() + FAILED_WITHIN_MS
  for (;;) {
    const operation = await operations.get(id)
    if (operation.lastFailure !== null && operation.attempts >= attempts) return
    if (performance.now() > deadline) {
      throw new Error(JSON.stringify((await ground.catalog.moves.detail(id)).events, null, 1))
    }
    await withClient(ground.us.as('freehold_control', 'freehold_catalog'), 'test', (client) =>
      client.query('update catalog.operations set run_after = clock_timestamp() where id = $1', [id]),
    )
    await sleep(NUDGE_MS)
  }
}

/** Has an engine take the operation up until it comes to where it stands still. */
async function keepNudging(engine: Engine, id: OperationId, reached: Promise<void>): Promise<void> {
  let there = false
  void reached.then(() => {
    there = true
  })
  while (!there) {
    await engine.nudge(id)
    await sleep(NUDGE_MS)
  }
}
