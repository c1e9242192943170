import type { LedgerEntry } from '@freehold/catalog'
import { FreeholdError } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { createPublication } from '../../resources/publication.ts'
import { releaseResource } from '../../resources/release.ts'
import { connectReplication, createSlot } from '../../stream/replication-client.ts'
import { moveTables } from '../applier-session.ts'
import { confirmCreated } from '../created.ts'
import { closeSession, type Move } from '../move.ts'

const MAX_COPIES = 5

/**
 * dual_write: creates the change stream. From the slot's creation on, every write of the tenant that commits at the
 * source is kept for the target; what committed before is in the snapshot that the creation exports.
 */
export async function createStream(move: Move): Promise<'stream_created'> {
  if (move.state.copyAttempts > MAX_COPIES) {
    throw new FreeholdError(
      'operation_retries_exhausted',
      `The copy was begun ${MAX_COPIES} times and never ended.`,
    )
  }
  await closeSession(move)
  const { operation, source, names, catalog } = move
  const tables = (await moveTables(move)).map((pair) => pair.source)

  const location = { operationId: operation.id, clusterId: source.cluster.id, databaseName: source.database }
  const entries = (name: string): LedgerEntry[] => [
    { ...location, kind: 'replication_slot', name },
    { ...location, kind: 'publication', name },
  ]
  if (move.state.slot !== null) {
    // An earlier copy's. Its slot keeps the source's log from being recycled, and nobody will read it again.
    for (const entry of entries(move.state.slot)) await releaseResource(catalog, entry)
  }
  for (const entry of entries(names.slot)) await catalog.ledger.record(move.lease, entry)
  await move.barrier('dual_write.recorded')
  await withClient(source.owner, 'freehold-stream', (owner) =>
    createPublication(owner, names.slot, tables, operation.tenantId),
  )
  const holder = await connectReplication(source.mover, 'freehold-stream')
  try {
    const slot = await createSlot(holder, {
      name: names.slot,
      lifetime: 'permanent',
      timeoutMs: move.settings.slotTimeoutMs,
      signal: move.signal,
    })
    move.session.snapshot = { slot, holder }
    await confirmCreated(move, entries(names.slot))
  } catch (error) {
    await holder.end()
    throw error
  }
  move.state = { ...move.state, slot: names.slot }
  return 'stream_created'
}
