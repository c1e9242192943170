import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { movePhases } from '@freehold/contract'

/**
 * How a worker is brought to a barrier: by a move from the shared tables to a silo; by one that is cancelled while it
 * copies; by one whose first worker is killed while it copies; by a move out of a schema of the tenant's own, or out of a silo;
 * by a move that repairs rows which were made to differ; by one whose first switch is called off because a writer does not end;
 * by a move with a rollback window, which is finalized, rolled back, or finalized after its rollback was called off or its
 * stream back was lost.
 */
export type Way =
  | 'move'
  | 'cancelled_move'
  | 'move_begun_anew'
  | 'move_from_schema'
  | 'move_from_silo'
  | 'move_repaired'
  | 'move_called_off'
  | 'move_with_window'
  | 'move_rolled_back'
  | 'rollback_called_off'
  | 'move_not_to_be_rolled_back'

/** Every barrier of a move, in the order in which an undisturbed move passes them, with the way to get there. */
export const barriers = {
  'provisioning.entered': 'move',
  'provisioning.recorded': 'move',
  'provisioning.created': 'move',
  'provisioning.expected': 'move',
  'dual_write.entered': 'move',
  'dual_write.recorded': 'move',
  'dual_write.begun': 'move',
  'dual_write.created': 'move',
  'backfill.entered': 'move',
  'backfill.table_copied': 'move',
  'backfill.copied': 'move',
  'backfill.built': 'move',
  'verify.entered': 'move',
  'verify.caught_up': 'move',
  'ready.entered': 'move',
  'ready.aligned': 'move',
  'cutover.entered': 'move',
  'cutover.claimed': 'move',
  'cutover.rehearsed': 'move',
  'cutover.intended': 'move',
  'cutover.fenced': 'move',
  'cutover.drained': 'move',
  'cutover.sealed': 'move',
  'cutover.frozen': 'move',
  'cutover.home_switched': 'move',
  'cutover.retired': 'move',
  'cutover.activated': 'move',
  'soak.entered': 'move',
  'finalize.entered': 'move',
  'finalize.given_over': 'move',
  'finalize.removed': 'move',
  'finalize.released': 'move',
  'finalize.not_expected': 'move',
  'finalize.batch_purged': 'move',
  'finalize.left': 'move',
  'finalize.forgotten': 'move',
  'completed.entered': 'move',
  'verify.repair_begun': 'move_repaired',
  'verify.rewritten': 'move_repaired',
  'verify.repaired': 'move_repaired',
  'cutover.unfenced': 'move_called_off',
  'cutover.withdrawn': 'move_called_off',
  'finalize.schema_recorded': 'move_from_schema',
  'finalize.schema_dropped': 'move_from_schema',
  'finalize.database_dropped': 'move_from_silo',
  'provisioning.retargeted': 'move_begun_anew',
  'aborting.entered': 'cancelled_move',
  'aborting.left': 'cancelled_move',
  'aborting.removed': 'cancelled_move',
  'aborting.released': 'cancelled_move',
  'aborted.entered': 'cancelled_move',
  'ready.recorded': 'move_with_window',
  'ready.begun': 'move_with_window',
  'ready.created': 'move_with_window',
  'ready.stream_back_created': 'move_with_window',
  'soak.removed': 'move_with_window',
  'soak.turned': 'move_with_window',
  'soak.expected': 'move_with_window',
  'soak.applying': 'move_with_window',
  'soak.applied': 'move_with_window',
  'rolling_back.entered': 'move_rolled_back',
  'rolling_back.verified': 'move_rolled_back',
  'rolling_back.released': 'move_rolled_back',
  'rolling_back.left': 'move_rolled_back',
  'rolling_back.forgotten': 'move_rolled_back',
  'rolled_back.entered': 'move_rolled_back',
  'rolling_back.called_off': 'rollback_called_off',
  'soak.declared_unsafe': 'move_not_to_be_rolled_back',
} as const satisfies Record<string, Way>

export type Barrier = keyof typeof barriers
export const barrierNames = Object.keys(barriers) as Barrier[]

/** Where a fault can leave the tenant between two homes, if anywhere. */
export const criticalBarriers = [
  'cutover.intended',
  'cutover.fenced',
  'cutover.drained',
  'cutover.sealed',
  'cutover.frozen',
  'cutover.home_switched',
  'cutover.retired',
  'cutover.activated',
] as const satisfies readonly Barrier[]

/** Struck on one of these, a move need not come by its other barriers: rows that are repaired do not differ for the next worker. */
const struckOnce: ReadonlySet<Way> = new Set([
  'move_repaired',
  'move_called_off',
  'move_from_schema',
  'rollback_called_off',
])

/**
 * Deals barriers out to moves that are struck at several of them, each at barriers of one way, in the order in which it comes by
 * them and as far apart as can be.
 *
 * @param strikes how many barriers a move gets at most.
 */
export function dealtOut(names: readonly Barrier[], strikes: number): Barrier[][] {
  const byWay = Map.groupBy(names, (name) => barriers[name])
  return [...byWay].flatMap(([way, passed]) => {
    const moves = Math.ceil(passed.length / (struckOnce.has(way) ? 1 : strikes))
    return Array.from({ length: moves }, (_, move) => passed.filter((_, index) => index % moves === move))
  })
}

const engineSources = fileURLToPath(new URL('../../packages/engine/src', import.meta.url))
const BARRIER_CALL = /\bbarrier\(\s*(['"`])([^'"`]+)\1/g
/** The orchestrator passes one when a move has entered a phase. */
const PHASE_ENTERED = '$' + '{next}.entered'

/** The barriers that the engine's code names. No move enters the phase in which it is recorded. */
export function barriersInTheCode(): string[] {
  const found = readdirSync(engineSources, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [...readFileSync(join(engineSources, file), 'utf8').matchAll(BARRIER_CALL)])
    .flatMap(([, , name]) => (name === undefined ? [] : [name]))
  const entered = movePhases.filter((phase) => phase !== 'planned').map((phase) => `${phase}.entered`)
  return [...new Set(found.flatMap((name) => (name === PHASE_ENTERED ? entered : [name])))].sort()
}
