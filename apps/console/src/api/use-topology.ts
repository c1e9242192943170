import { useQuery } from '@tanstack/react-query'
import { getTopology } from './topology.ts'

export function useTopology() {
  return useQuery({
    queryKey: ['topology'],
    queryFn: ({ signal }) => getTopology(signal),
    staleTime: 30_000,
  })
}
