import type { ChangeStream, StreamRoute } from './change-stream.ts'
import type { StreamKind } from './choose-stream.ts'
import { logStream } from './log-stream.ts'
import { triggerStream } from './trigger-stream.ts'

/** A change stream of the given kind; nothing is made or connected to yet. */
export function openStream(kind: StreamKind, route: StreamRoute): ChangeStream {
  return kind === 'logical' ? logStream(route) : triggerStream(route)
}
