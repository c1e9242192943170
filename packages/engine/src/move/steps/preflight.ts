import type { Move } from '../move.ts'
import { sourceScope } from '../move.ts'
import { checkMove } from '../preflight.ts'

/** planned: checks once more what the plan was made from, because time has passed. */
export async function preflight(move: Move): Promise<'preflight_passed'> {
  await checkMove({
    source: sourceScope(move),
    target: move.target.cluster,
  })
  return 'preflight_passed'
}
