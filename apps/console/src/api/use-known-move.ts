import type { Move, MoveDetail } from '@freehold/contract'
import { useQueryClient } from '@tanstack/react-query'

/** @returns a function that shows, at once, what an order has made of a move. */
export function useKnownMove(): (next: Move) => void {
  const client = useQueryClient()
  return (next) =>
    client.setQueryData<MoveDetail>(
      ['moves', 'detail', next.id],
      (before) => before && { ...before, ...next },
    )
}
