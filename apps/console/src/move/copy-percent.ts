import type { MoveProgress } from '@freehold/contract'
import { percentage } from '../format/number.ts'

/** How much of the copy is done, 0 to 100; a finished copy is whole, however wrong the estimate was. */
export function copyPercent({ seconds, rowsCopied, rowsEstimated }: MoveProgress): number {
  return seconds.backfill === null ? percentage(rowsCopied, rowsEstimated) : 100
}
