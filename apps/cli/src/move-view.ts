import {
  describeWait,
  type Move,
  type MoveEvent,
  type MovePhase,
  type MoveProgress,
  straightMovePhases,
} from '@freehold/contract'
import { formatBytes, formatCount, formatInstant, formatPlacement, formatSeconds } from './format.ts'
import { describeProblem } from './problem-error.ts'
import type { Terminal } from './terminal.ts'

/** The phases that an undisturbed move passes before it is completed. */
const COURSE: readonly MovePhase[] = straightMovePhases.filter((phase) => phase !== 'completed')
const BAR_WIDTH = 30

/** `2026-11-21 04:12:03  backfill      Copied 200,000 rows.` */
export function timelineLine(event: MoveEvent): string {
  return `${formatInstant(event.at)}  ${event.phase.padEnd(12)}  ${event.message}`
}

/** How far the copy is, in one line: `68 %  136,000 of 200,000 rows  27.4 MB  85,000 rows/s  ETA 1 s  lag 12 kB`. */
export function progressLine(progress: MoveProgress): string {
  return [
    `${percentOf(progress)} %`,
    `${formatCount(progress.rowsCopied)} of ${formatCount(progress.rowsEstimated)} rows`,
    formatBytes(progress.bytesCopied),
    progress.rowsPerSecond === null ? undefined : `${formatCount(progress.rowsPerSecond)} rows/s`,
    !progress.etaSeconds ? undefined : `ETA ${formatSeconds(progress.etaSeconds)}`,
    progress.lagBytes === null ? undefined : `lag ${formatBytes(progress.lagBytes)}`,
    progress.throttled === null ? undefined : `throttled: ${progress.throttled}`,
  ]
    .filter((part) => part !== undefined)
    .join('  ')
}

/** What is redrawn while a move runs: where it leads, its phases, and the bar. */
export function liveLines(move: Move, terminal: Terminal): string[] {
  const filled = Math.round((percentOf(move.progress) / 100) * BAR_WIDTH)
  return [
    `${terminal.style('bold', move.tenant.slug)}  ${formatPlacement(move.from)} -> ${formatPlacement(move.to)}`,
    courseLine(move.phase, terminal),
    `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}  ${progressLine(move.progress)}`,
    ...(move.waiting === null ? [] : [describeWait(move.waiting)]),
  ]
}

/** How a move ended, or how it stands. */
export function outcome(move: Move): string {
  const { progress } = move
  const pause =
    progress.writePauseMs === null
      ? ''
      : ` Writes were held for ${formatSeconds(progress.writePauseMs / 1000)}.`
  const copied = `${formatCount(progress.rowsCopied)} rows (${formatBytes(progress.bytesCopied)})`
  const total = progress.seconds.total === null ? '' : ` in ${formatSeconds(progress.seconds.total)}`
  switch (move.phase) {
    case 'completed':
      return `${move.tenant.slug} lives at ${formatPlacement(move.to)}. Moved ${copied}${total}.${pause}`
    case 'soak':
      return `${move.tenant.slug} lives at ${formatPlacement(move.to)}.${pause}${windowText(move)}`
    case 'rolled_back':
      return `The move was rolled back; ${move.tenant.slug} lives at ${formatPlacement(move.from)} again, with all that was written since.`
    case 'aborted':
      return `The move was given up; ${move.tenant.slug} stayed at ${formatPlacement(move.from)}.`
    default:
      return `The move is in phase ${move.phase}.${move.waiting === null ? '' : ` ${describeWait(move.waiting)}`}`
  }
}

/** Why a move was given up, if it was, or cannot be rolled back any more. */
export function reason(move: Move): string | undefined {
  const problem = move.error ?? (move.phase === 'soak' ? move.rollback?.problem : null)
  return problem == null ? undefined : describeProblem(problem)
}

/** How the rollback window stands, in a few words; undefined: the move has none. */
export function windowSummary({ rollback, progress }: Move): string | undefined {
  if (rollback === null) return undefined
  const closes = rollback.closesAt === null ? '' : `, closes ${formatInstant(rollback.closesAt)}`
  const lag =
    rollback.state !== 'open' || progress.lagBytes === null ? '' : `, lag ${formatBytes(progress.lagBytes)}`
  const { trouble } = rollback
  const behind =
    trouble === null ? '' : `, not kept in step since ${formatInstant(trouble.since)} (${trouble.code})`
  return `${rollback.state}${closes}${lag}${behind}`
}

/** Whether rows that differ are rewritten, and how many were; undefined: it was not asked for. */
export function repairSummary({ repair, progress }: Move): string | undefined {
  if (!repair) return undefined
  return `rows that differ are rewritten; ${formatCount(progress.repairedRows)} were`
}

function windowText({ id, rollback }: Move): string {
  switch (rollback?.state) {
    case 'open':
      return ` It can be rolled back until ${formatInstant(rollback.closesAt ?? '')}:\n  freehold moves rollback ${id}\nand then its rows at the old home are removed; to have that now:\n  freehold moves finalize ${id}`
    case 'unsafe':
      return ` ROLLING BACK IS NOT SAFE ANY MORE. To end the move:\n  freehold moves finalize ${id}`
    default:
      return ''
  }
}

/** `✓✓✓●○○○○  backfill, 4 of 8` */
function courseLine(phase: MovePhase, terminal: Terminal): string {
  const passed = phase === 'completed' ? COURSE.length : Math.max(COURSE.indexOf(phase), 0)
  if (passed === COURSE.length) return `${terminal.style('green', '✓'.repeat(passed))}  ${phase}`
  const done = terminal.style('green', '✓'.repeat(passed))
  const left = terminal.style('dim', '○'.repeat(COURSE.length - passed - 1))
  const place = COURSE.includes(phase) ? `, ${passed + 1} of ${COURSE.length}` : ''
  return `${done}●${left}  ${terminal.style('bold', phase)}${place}`
}

function percentOf({ rowsCopied, rowsEstimated }: MoveProgress): number {
  if (rowsEstimated <= 0) return rowsCopied > 0 ? 100 : 0
  return Math.min(100, Math.floor((rowsCopied / rowsEstimated) * 100))
}
