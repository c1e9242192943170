import type { Random } from '../seed/random.ts'
import type { Holdings } from './holdings.ts'
import type { Session } from './session.ts'

/** What an action works with: one virtual client's connection to the API, its possessions and its dice. */
export interface Actor {
  readonly session: Session
  readonly holdings: Holdings
  readonly random: Random
}

/** Something that a user of the product does with one request. */
export interface Action {
  readonly kind: string
  /** How often it is chosen, relative to the others. */
  readonly weight: number
  /** @returns whether there was something to do it with. */
  run(actor: Actor): Promise<boolean>
}
