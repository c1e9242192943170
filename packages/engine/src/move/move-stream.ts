import { type ChangeStreamChoice, FreeholdError } from '@freehold/contract'
import type { TablePair } from '../database/tables.ts'
import type { ChangeStream } from '../stream/change-stream.ts'
import type { StreamKind } from '../stream/choose-stream.ts'
import { openStream } from '../stream/open-stream.ts'
import { type Move, sourceScope, targetScope } from './move.ts'
import { sourceClaim } from './take-target.ts'

/**
 * The stream that will carry the changes of the target back once the tenant lives there.
 *
 * @param atTarget names what it is to make at the target.
 */
export async function streamBack(
  move: Move,
  tables: readonly TablePair[],
  atTarget: string,
): Promise<ChangeStream> {
  return openStream(decided(move.state.changeStreamBack), {
    stream: sourceClaim(move).stream,
    name: atTarget,
    from: { ...(await targetScope(move)), owner: move.target.owner },
    to: sourceScope(move),
    tables: tables.map(({ source, target }) => ({ source: target, target: source })),
  })
}

/**
 * The change stream of the move, from its source to its target.
 *
 * @param atSource names what it has made at the source, or is to make there; the stream in use unless given.
 * @throws FreeholdError `change_stream_failed` when none is in use.
 */
export async function moveStream(
  move: Move,
  tables: readonly TablePair[],
  atSource = move.state.streamAtSource,
): Promise<ChangeStream> {
  if (atSource === null) throw new FreeholdError('change_stream_failed', 'The move has no change stream.')
  return openStream(decided(move.state.changeStream), {
    stream: move.names.stream,
    name: atSource,
    from: { ...sourceScope(move), owner: move.source.owner },
    to: await targetScope(move),
    tables,
  })
}

function decided(choice: ChangeStreamChoice): StreamKind {
  if (choice === 'auto') throw new Error('how the tenant is followed has not been decided')
  return choice
}
