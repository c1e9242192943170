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
  const destination = { ...move.target, reversible: hasWindow(move) }
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
  move.state = { ...move.state, changeStream: kind }
  return 'preflight_passed'
}
