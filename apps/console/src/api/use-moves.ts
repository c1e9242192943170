import { isTerminalPhase } from '@freehold/contract'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { listMoves, type MoveFilter } from './moves.ts'

const CALM_MILLISECONDS = 5000
const BUSY_MILLISECONDS = 1000

/** A page of moves, asked for again more often while one of them runs. */
export function useMoves(filter: MoveFilter) {
  return useQuery({
    queryKey: ['moves', 'list', filter],
    queryFn: ({ signal }) => listMoves(filter, signal),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) =>
      state.data?.items.some((move) => !isTerminalPhase(move.phase)) ? BUSY_MILLISECONDS : CALM_MILLISECONDS,
  })
}
