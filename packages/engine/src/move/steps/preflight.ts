import { examineMove, readSource } from '../../preflight/examine-move.ts'
import { isBlocking, refuseBlocked } from '../../preflight/finding.ts'
import { chooseStream } from '../../stream/choose-stream.ts'
import { hasWindow, type Move, sourceScope } from '../move.ts'

/**
 * planned: checks once more what the plan was made from, because time has passed.
 *
 * @throws FreeholdError what the first blocking finding is refused with.
 */
export async function preflight(move: Move): Promise<'preflight_passed'> {
  const { kind } = await chooseStream(move.connections, move.source.mover, move.state.changeStream)
  const source = { scope: sourceScope(move), cluster: move.source.cluster, stream: kind }
  const { rollbackWindowSeconds: seconds } = move.operation
  const window = hasWindow(move) ? { seconds, changeStream: move.state.changeStreamBack } : undefined
  const destination = { ...move.target, window }
  const rows = new Map(move.progress.current.tables.map(({ table, rowsEstimated }) => [table, rowsEstimated]))
  const sized = [move.source, move.target].some(({ cluster }) => cluster.capacityBytes !== null)
  const examination = await examineMove(
    move.connections,
    source,
    destination,
    readSource(move.connections, source, { rows, sized }),
  )
  const findings = [...examination.source, ...examination.target]
  refuseBlocked(findings)
  move.session.advice = [...new Set(findings.filter((found) => !isBlocking(found)).map(({ code }) => code))]
  const { back: changeStreamBack = move.state.changeStreamBack } = examination
  move.state = { ...move.state, changeStream: kind, changeStreamBack }
  return 'preflight_passed'
}
