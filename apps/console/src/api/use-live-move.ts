import { isTerminalPhase, type MoveDetail, type Problem } from '@freehold/contract'
import { type QueryClient, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { type Connection, followMove, type MoveListener } from './follow-move.ts'
import { getMove } from './moves.ts'

/** A move that is kept up to date by its event stream until it is over. */
export function useLiveMove(id: string) {
  const client = useQueryClient()
  const query = useQuery({
    queryKey: moveKey(id),
    queryFn: ({ signal }) => getMove(id, signal),
    // The stream brings what changes; asking again could put an older answer over a newer event.
    staleTime: Number.POSITIVE_INFINITY,
  })
  const [connection, setConnection] = useState<Connection>('connecting')
  const [refused, setRefused] = useState<Problem | null>(null)
  const running = query.data !== undefined && !isTerminalPhase(query.data.phase)

  // Not ended by the terminal phase itself: the last entries of the timeline come after it, before `end`.
  const [following, setFollowing] = useState(false)
  if (running && !following) setFollowing(true)

  useEffect(() => {
    if (!following) return
    const stop = new AbortController()
    const listener = { ...cacheWriter(client, id), onConnection: setConnection, onRefused: setRefused }
    const known = client.getQueryData<MoveDetail>(moveKey(id))?.events.at(-1)?.sequence
    void followMove(id, known, listener, stop.signal)
    return () => stop.abort()
  }, [client, id, following])

  return { query, connection: following ? connection : 'ended', refused }
}

function moveKey(id: string) {
  return ['moves', 'detail', id]
}

/** Writes what the stream brings into the cache, and has the lists asked again when a phase changes. */
function cacheWriter(client: QueryClient, id: string): Pick<MoveListener, 'onMove' | 'onTimeline'> {
  const update = (change: (move: MoveDetail) => MoveDetail) =>
    client.setQueryData<MoveDetail>(moveKey(id), (move) => move && change(move))
  return {
    onMove: (next) => {
      const before = client.getQueryData<MoveDetail>(moveKey(id))?.phase
      update((move) => ({ ...move, ...next }))
      if (before === next.phase) return
      void client.invalidateQueries({ queryKey: ['tenants'] })
      void client.invalidateQueries({ queryKey: ['moves', 'list'] })
    },
    onTimeline: (event) =>
      update((move) => {
        const last = move.events.at(-1)?.sequence ?? Number.NEGATIVE_INFINITY
        return event.sequence > last ? { ...move, events: [...move.events, event] } : move
      }),
  }
}
