import { isTerminalPhase, type Move, type MovePhase } from '@freehold/contract'
import { Tile, Tiles } from '../components/tiles.tsx'
import { useTextAt } from '../components/use-text-at.ts'
import { formatBytes } from '../format/bytes.ts'
import { formatMilliseconds, formatSeconds } from '../format/duration.ts'
import { formatCount } from '../format/number.ts'

/** The numbers by which a move is judged, the write pause first. */
export function Measurements({ move }: { move: Move }) {
  const { phase, progress } = move
  const { writePauseMs, lagBytes, changesApplied, cutoverAttempts, rowsCopied, bytesCopied } = progress
  return (
    <Tiles name="Measurements">
      <Tile
        name="Write pause"
        highlight={writePauseMs !== null}
        note={writePauseMs === null ? 'Measured at the cutover' : 'Writes held, none refused'}
      >
        {writePauseMs === null ? '–' : formatMilliseconds(writePauseMs)}
      </Tile>
      <Tile name="Rows copied" note={`${formatBytes(bytesCopied)} by backfill`}>
        {formatCount(rowsCopied)}
      </Tile>
      <Tile name="Changes applied" note="By dual write, while it ran">
        {formatCount(changesApplied)}
      </Tile>
      <Tile name="Replication lag" note="Log not yet applied">
        {lagBytes === null || hasSwitched(phase) ? '–' : formatBytes(lagBytes)}
      </Tile>
      <Tile name="Cutover attempts" note="One is usual">
        {formatCount(cutoverAttempts)}
      </Tile>
      <Tile name={isTerminalPhase(phase) ? 'Total time' : 'Running for'} note={stageTimes(move)}>
        <Elapsed move={move} />
      </Tile>
    </Tiles>
  )
}

function Elapsed({ move: { progress, createdAt, finishedAt } }: { move: Move }) {
  return useTextAt((now) => {
    if (progress.seconds.total !== null) return formatSeconds(progress.seconds.total)
    const until = finishedAt === null ? now : Date.parse(finishedAt)
    return formatSeconds(Math.max(0, Math.round((until - Date.parse(createdAt)) / 1000)))
  })
}

/** Afterwards nothing is carried over any more; the lag that was last measured has been made up. */
function hasSwitched(phase: MovePhase): boolean {
  return phase === 'finalize' || isTerminalPhase(phase)
}

function stageTimes({ progress: { seconds } }: Move): string {
  const stages = [
    seconds.backfill === null ? null : `backfill ${formatSeconds(seconds.backfill)}`,
    seconds.verify === null ? null : `verify ${formatSeconds(seconds.verify)}`,
  ]
  const text = stages.filter((stage) => stage !== null).join(', ')
  return text === '' ? 'Since the start' : text.charAt(0).toUpperCase() + text.slice(1)
}
