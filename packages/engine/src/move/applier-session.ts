import { FreeholdError } from '@freehold/contract'
import { hasSqlState, retry, SQLSTATE, withClient } from '@freehold/postgres'
import { pairTables, readTables, type TablePair } from '../database/tables.ts'
import { claimTarget, type TargetClaim } from '../database/target-claim.ts'
import { Applier, type ApplierOptions } from '../stream/applier.ts'
import { type Move, type Side, targetScope } from './move.ts'
import { requireSameSchema } from './same-schema.ts'

/** This worker's right to write to the target. */
export function targetClaim(move: Move): TargetClaim {
  return { stream: move.names.stream, fencingToken: move.lease.token }
}

/**
 * The tenant's tables at both ends, read once by each worker.
 *
 * @throws FreeholdError `schema_mismatch` when the two ends differ, and what `readTables` throws.
 */
export async function moveTables(move: Move): Promise<readonly TablePair[]> {
  if (move.session.tables === undefined) {
    const read = (side: Side) =>
      withClient(side.mover, 'freehold-tables', (client) => readTables(client, side.schema))
    move.session.tables = pairTables(await read(move.source), await read(move.target))
  }
  return move.session.tables
}

/**
 * The applier of the move's stream: the one this worker has running, or a new one from where the target stands.
 *
 * @throws FreeholdError `lease_lost` when another worker has taken the target over.
 */
export async function runningApplier(move: Move): Promise<Applier> {
  if (move.session.applier !== undefined) return move.session.applier
  const { slot } = move.state
  if (slot === null) throw new FreeholdError('change_stream_failed', 'The move has no replication slot.')
  const tables = await moveTables(move)
  await requireSameSchema(move, tables)
  const target = await targetScope(move)
  await withClient(target.mover, 'freehold-claim', (mover) => claimTarget(mover, targetClaim(move)))
  const applier = await startApplier({
    source: { address: move.source.mover, slot, publication: slot },
    target,
    ...targetClaim(move),
    tables,
  })
  move.session.applier = applier
  return applier
}

/** The slot of a worker that was cut off stays in use until its server notices; that reader is ended. */
async function startApplier(options: ApplierOptions): Promise<Applier> {
  const { address, slot } = options.source
  return retry(
    async () => {
      await withClient(address, 'freehold-claim', (mover) =>
        mover.query(
          'select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1 and active',
          [slot],
        ),
      )
      return Applier.start(options)
    },
    { when: (error) => hasSqlState(error, SQLSTATE.objectInUse), attempts: 8, firstDelayMs: 20 },
  ).catch((error: unknown) => {
    if (!hasSqlState(error, SQLSTATE.undefinedObject, SQLSTATE.objectNotInPrerequisiteState)) throw error
    throw new FreeholdError('change_stream_failed', `Replication slot ${slot} is lost.`, { cause: error })
  })
}
