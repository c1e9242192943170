import type { DrainPlan, Evacuation } from '@freehold/contract'
import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import { type AskedDrain, getEvacuation, planDrain } from './clusters.ts'
import { problemOf } from './problem-error.ts'

const CALM_MILLISECONDS = 5000
const BUSY_MILLISECONDS = 1000

/** The newest evacuation of a cluster, followed while it goes on; null: there has never been one. */
export function useEvacuation(cluster: string) {
  return useQuery({
    queryKey: evacuationKey(cluster),
    queryFn: ({ signal }) => getEvacuation(cluster, signal).catch(absent),
    refetchInterval: ({ state }) => (state.data?.finishedAt === null ? BUSY_MILLISECONDS : CALM_MILLISECONDS),
  })
}

function absent(error: unknown): null {
  if (problemOf(error).code === 'evacuation_not_found') return null
  throw error
}

/** @returns a function that has everything asked anew that depends on whether a cluster is drained. */
export function useDrainingChanged(cluster: string): (evacuation?: Evacuation) => void {
  const client = useQueryClient()
  return (evacuation) => {
    if (evacuation !== undefined) client.setQueryData(evacuationKey(cluster), evacuation)
    void client.invalidateQueries({ queryKey: evacuationKey(cluster) })
    void client.invalidateQueries({ queryKey: ['topology'] })
    void client.invalidateQueries({ queryKey: ['moves', 'list'] })
  }
}

const evacuationKey = (cluster: string) => ['clusters', cluster, 'evacuation']

/**
 * The dry run of an evacuation: the API checks some tenants with each request, and the next ones are asked for as long as
 * somebody looks.
 *
 * @param attempt another one has everything checked again.
 */
export function useDrainPlan(cluster: string, asked: AskedDrain, attempt: number) {
  const { data, error, hasNextPage, isFetching, fetchNextPage } = useInfiniteQuery({
    queryKey: ['clusters', cluster, 'drain-plan', asked, attempt],
    enabled: attempt > 0,
    queryFn: ({ pageParam, signal }) => planDrain(cluster, asked, pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next }: DrainPlan) => next ?? undefined,
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  })
  useEffect(() => {
    if (hasNextPage && !isFetching && error === null) void fetchNextPage()
  }, [hasNextPage, isFetching, error, fetchNextPage])
  const pages = data?.pages ?? []
  return {
    error,
    left: pages.at(-1)?.left,
    tenants: pages.flatMap(({ tenants }) => tenants),
    complete: pages.at(-1)?.next === null,
    checking: attempt > 0 && error === null && pages.at(-1)?.next !== null,
  }
}
