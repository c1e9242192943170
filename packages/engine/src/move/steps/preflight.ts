import { examineMove, readSource } from '../../preflight/examine-move.ts'
import { isBlocking, refuseBlocked } from '../../preflight/finding.ts'
import { type Move, sourceScope } from '../move.ts'

/**
 * planned: checks once more what the plan was made from, because time has passed.
 *
 * @throws FreeholdError what the first blocking finding is refused with.
 */
export async function preflight(move: Move): Promise<'preflight_passed'> {
  const source = { scope: sourceScope(move), cluster: move.source.cluster }
  const examination = await examineMove(source, move.target, await readSource(source))
  const findings = [...examination.source, ...examination.target]
  refuseBlocked(findings)
  move.session.advice = [...new Set(findings.filter((found) => !isBlocking(found)).map(({ code }) => code))]
  return 'preflight_passed'
}
