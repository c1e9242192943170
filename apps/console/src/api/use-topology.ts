import { useQuery } from '@tanstack/react-query'
import { getTopology } from './topology.ts'

const CALM_MILLISECONDS = 5000

const topologyQuery = {
  queryKey: ['topology'],
  queryFn: ({ signal }: { signal: AbortSignal }) => getTopology(signal),
}

export function useTopology() {
  return useQuery({ ...topologyQuery, staleTime: 30_000 })
}

/** As {@link useTopology}, for who looks at what clusters are doing. */
export function useLiveTopology() {
  return useQuery({ ...topologyQuery, refetchInterval: CALM_MILLISECONDS })
}
