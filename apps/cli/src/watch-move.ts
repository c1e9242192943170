import { describeWait, type Move, type OperationId } from '@freehold/contract'
import type { CommandContext } from './context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { followMove, type MoveNews } from './follow-move.ts'
import { createLiveRegion } from './live-region.ts'
import { liveLines, outcome, progressLine, reason, timelineLine } from './move-view.ts'
import type { Terminal } from './terminal.ts'

/** Between two lines of progress where nothing can be redrawn. */
const LINE_INTERVAL_MS = 1_000

/**
 * Shows a move until it has ended, or rests in its rollback window: on a terminal with a bar, else line by line, with --json one JSON object a line.
 *
 * @returns how the process should end: `aborted` when the move was given up or rolled back, `interrupted` after Ctrl-C.
 */
export async function watchMove({ api, terminal, json }: CommandContext, id: OperationId): Promise<ExitCode> {
  const interrupt = new AbortController()
  const onInterrupt = () => interrupt.abort()
  process.once('SIGINT', onInterrupt)
  const view = json ? jsonView(terminal) : terminal.isLive ? liveView(terminal) : lineView(terminal)
  let last: Move | undefined
  try {
    for await (const news of followMove(api, id, interrupt.signal)) {
      view(news)
      if (news.event !== 'move') continue
      last = news.data
      if (isResting(last)) break
    }
  } catch (error) {
    if (!interrupt.signal.aborted) throw error
    terminal.remark(`The move goes on. Follow it again: freehold moves watch ${id}`)
    return EXIT.interrupted
  } finally {
    process.off('SIGINT', onInterrupt)
  }
  if (last === undefined) return EXIT.ok
  if (!json) {
    terminal.print(outcome(last))
    const why = reason(last)
    if (why !== undefined) terminal.remark(why)
  }
  return last.phase === 'aborted' || last.phase === 'rolled_back' ? EXIT.aborted : EXIT.ok
}

/** Nothing happens until the rollback window closes, which may be in days, or an operator says something. */
function isResting({ phase, rollback }: Move): boolean {
  return phase === 'soak' && (rollback?.state === 'open' || rollback?.state === 'unsafe')
}

function jsonView(terminal: Terminal): (news: MoveNews) => void {
  return (news) => terminal.print(JSON.stringify(news))
}

function liveView(terminal: Terminal): (news: MoveNews) => void {
  const region = createLiveRegion(terminal)
  return (news) => {
    if (news.event === 'timeline') region.keep(timelineLine(news.data))
    else region.show(liveLines(news.data, terminal))
  }
}

function lineView(terminal: Terminal): (news: MoveNews) => void {
  let written = 0
  let said = ''
  return (news) => {
    if (news.event === 'timeline') return terminal.print(timelineLine(news.data))
    const { progress, waiting } = news.data
    const line = waiting === null ? progressLine(progress) : describeWait(waiting)
    if (line === said || performance.now() - written < LINE_INTERVAL_MS) return
    terminal.print(line)
    written = performance.now()
    said = line
  }
}
