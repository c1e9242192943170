import { placementOf } from '../../placements/placement-of.ts'
import { type Move, saveState } from '../move.ts'

/** provisioning: makes the place that the tenant is to live in, with the tables at the current schema. */
export async function provision(move: Move): Promise<'provisioned'> {
  await placementOf(move.target.isolation).provision(move)
  await saveState(move, { copyAttempts: move.state.copyAttempts + 1 })
  return 'provisioned'
}
