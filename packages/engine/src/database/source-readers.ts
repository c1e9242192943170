import type { ClientBase } from 'pg'
import { endSessions } from './end-sessions.ts'
import { targetWriters } from './target-claim.ts'

/** Connections with these names read a tenant's tables at the source of a stream, some of them for as long as a copy takes. */
export function sourceReaders(stream: string) {
  return {
    copy: targetWriters(stream).copy,
    follow: `freehold-stream ${stream}`,
    verify: `freehold-verify ${stream}`,
  } as const
}

/**
 * Ends what a former worker reads at the source: it may be waiting for ever, and keeps everybody from changing the tables. A
 * worker that reads there by right, because it has taken the move over in the meantime, begins again.
 */
export async function endReaders(client: ClientBase, streams: readonly string[]): Promise<void> {
  await endSessions(
    client,
    streams.flatMap((stream) => Object.values(sourceReaders(stream))),
  )
}
