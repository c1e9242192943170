import { confirmCreated } from './created.ts'
import { type Move, saveState } from './move.ts'
import { streamBack } from './move-stream.ts'
import { moveTables } from './move-tables.ts'
import { moveNames } from './names.ts'

/**
 * Creates, while the target is being filled, the stream that will carry its changes back after the switch. Before any pause,
 * because the creation of a slot waits for running transactions, and that of triggers for a moment in which nobody writes.
 *
 * @throws FreeholdError `source_busy`: here, of the target.
 */
export async function createStreamBack(move: Move): Promise<void> {
  const { operation, target, catalog } = move
  const name = moveNames(move.lease, 'back').atSource
  const stream = await streamBack(move, await moveTables(move), name)
  const entries = stream.resources.map((resource) => ({
    ...resource,
    operationId: operation.id,
    clusterId: target.cluster.id,
    databaseName: target.database,
  }))
  for (const entry of entries) await catalog.ledger.record(move.lease, entry)
  await move.barrier('ready.recorded')
  const patience = { timeoutMs: move.settings.slotTimeoutMs, signal: move.signal }
  const snapshot = await stream.create(patience, () => move.barrier('ready.begun'))
  await snapshot.release()
  await move.barrier('ready.created')
  await confirmCreated(move, entries)
  await saveState(move, { streamAtTarget: name })
  await move.barrier('ready.stream_back_created')
}
