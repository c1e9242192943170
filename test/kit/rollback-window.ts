import { setTimeout as sleep } from 'node:timers/promises'
import type { ChangeStreamChoice, MoveDetail, MoveTarget, OperationId, Tenant } from '@freehold/contract'
import type { Engine, MoveSettings } from '@freehold/engine'
import type { MovingGround } from './moving-ground.ts'
import { patiently } from './patiently.ts'

/** A window that no test waits out. */
export const WINDOW_SECONDS = 3_600
export const PATIENCE_MS = 300_000
/** Of an engine that carries changes back without much delay. */
export const soaking = { settings: { soakIntervalMs: 100 } }
const POLL_MS = 20

/** Moves a tenant and returns when changes are carried back; the engine goes on until it is stopped. */
export async function openWindow(
  ground: MovingGround,
  tenant: Tenant,
  to: string | MoveTarget,
  changeStream: ChangeStreamChoice,
  settings: Partial<MoveSettings> = soaking.settings,
): Promise<{ readonly move: MoveDetail; readonly engine: Engine }> {
  const engine = ground.engine({ settings })
  engine.start()
  const { id } = await ground.startMove(tenant, to, changeStream, {}, WINDOW_SECONDS)
  const move = await inWindow(ground, id)
  await soaked(ground, id)
  return { move, engine }
}

/** Waits until the window is open. */
export const inWindow = (ground: MovingGround, id: OperationId): Promise<MoveDetail> =>
  moveThat(ground, id, ({ phase }) => phase === 'soak')

/** Waits until the changes have been carried back some times. */
export async function soaked(ground: MovingGround, id: OperationId): Promise<void> {
  const turn = async () => (await patiently(() => ground.catalog.operations.get(id))).fencingToken
  const before = await turn()
  const deadline = performance.now() + PATIENCE_MS
  while ((await turn()) < before + 2) {
    if (performance.now() > deadline) throw new Error(said(await ground.catalog.moves.detail(id)))
    await sleep(POLL_MS)
  }
}

/** Waits until this holds of a move. @throws when the move ends without it. */
export async function moveThat(
  ground: MovingGround,
  id: OperationId,
  holds: (move: MoveDetail) => boolean,
): Promise<MoveDetail> {
  const move = await ground.endedOr(id, holds, PATIENCE_MS)
  if (!holds(move)) throw new Error(said(move))
  return move
}

/** What a move has told, for whoever reads that a test of it failed. */
export function said(move: MoveDetail): string {
  return JSON.stringify(
    [move.error, move.rollback, move.events.map(({ phase, message }) => `${phase}: ${message}`)],
    null,
    1,
  )
}
