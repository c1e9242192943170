import type { Move } from '@freehold/contract'

/** A placement in three words: `silo in eu`. */
export function placementText({ isolation, region }: Pick<Move['to'], 'isolation' | 'region'>): string {
  return `${isolation} in ${region}`
}
