import type { LedgerEntry } from '@freehold/catalog'
import { FreeholdError } from '@freehold/contract'
import { releaseResource } from '../../resources/release.ts'
import type { ChangeStream } from '../../stream/change-stream.ts'
import { confirmCreated } from '../created.ts'
import { closeSession, type Move, saveState } from '../move.ts'
import { checkSequences } from '../move-sequences.ts'
import { moveStream } from '../move-stream.ts'
import { moveTables } from '../move-tables.ts'

const MAX_COPIES = 5

/**
 * dual_write: creates the change stream. From then on every write of the tenant that commits at the source is kept for
 * the target; what committed before is in the snapshot that the copy will look at.
 */
export async function createStream(move: Move): Promise<'stream_created'> {
  if (move.state.copyAttempts > MAX_COPIES) {
    throw new FreeholdError(
      'operation_retries_exhausted',
      `The copy was begun ${MAX_COPIES} times and never ended.`,
    )
  }
  await closeSession(move)
  const { names } = move
  const tables = await moveTables(move)
  await checkSequences(move)
  const stream = await moveStream(move, tables, names.atSource)
  const entries = ledgerEntries(move, stream)
  await releaseEarlierStreams(move)
  for (const entry of entries) await move.catalog.ledger.record(move.lease, entry)
  await move.barrier('dual_write.recorded')
  const patience = { timeoutMs: move.settings.slotTimeoutMs, signal: move.signal }
  const snapshot = await stream.create(patience, () => move.barrier('dual_write.begun'))
  try {
    await move.barrier('dual_write.created')
    await confirmCreated(move, entries)
  } catch (error) {
    await snapshot.release()
    throw error
  }
  move.session.snapshot = snapshot
  move.state = { ...move.state, streamAtSource: names.atSource }
  return 'stream_created'
}

/** Those of an earlier copy. Changes are kept for them, and nobody will read them again; the one back was made where that copy is. */
async function releaseEarlierStreams(move: Move): Promise<void> {
  const { streamAtSource, streamAtTarget } = move.state
  const earlier = [streamAtSource, streamAtTarget].filter((name) => name !== null)
  if (earlier.length === 0) return
  for (const entry of await move.catalog.ledger.unreleased({ operationId: move.operation.id })) {
    if (earlier.includes(entry.name)) await releaseResource(move.catalog, entry)
  }
  await saveState(move, { streamAtSource: null, streamAtTarget: null })
}

function ledgerEntries({ operation, source }: Move, stream: ChangeStream): LedgerEntry[] {
  return stream.resources.map((resource) => ({
    ...resource,
    operationId: operation.id,
    clusterId: source.cluster.id,
    databaseName: source.database,
  }))
}
