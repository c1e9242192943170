import { FreeholdError } from '@freehold/contract'
import type { TableName } from '@freehold/postgres'
import { closeClient, hasSqlState, quoteTable, retry, SQLSTATE, withClient } from '@freehold/postgres'
import { allEnded } from '../all-ended.ts'
import { createPublication } from '../resources/publication.ts'
import type { ChangeStream, StreamRoute } from './change-stream.ts'
import { LogApplier, type LogApplierOptions } from './log-applier.ts'
import { connectReplication, createSlot } from './replication-client.ts'

/** The changes of a tenant as the source's log tells them: a publication of its rows, and a replication slot. */
export function logStream(route: StreamRoute): ChangeStream {
  const { from, to, stream, name, tables } = route
  return {
    resources: [
      { kind: 'replication_slot', name },
      { kind: 'publication', name },
    ],

    async create(patience, begun) {
      const published = tables.map((pair) => pair.source)
      const holder = connectReplication(from.mover, 'freehold-stream')
      const release = () => holder.then(closeClient, () => undefined)
      try {
        await allEnded([
          holder,
          withClient(from.owner, 'freehold-stream', (owner) =>
            createPublication(owner, name, published, from.tenantId, patience),
          ),
        ])
        await begun?.()
        const { snapshot } = await createSlot(await holder, { name, lifetime: 'permanent', ...patience })
        return { snapshot, release }
      } catch (error) {
        await release()
        throw error
      }
    },

    async carriedTables(source) {
      const result = await source.query<TableName>(
        'select schemaname as schema, tablename as name from pg_publication_tables where pubname = $1',
        [name],
      )
      return new Set(result.rows.map(quoteTable))
    },

    startApplier: (fencingToken, misfits) =>
      startApplier({
        source: { address: from.mover, slot: name, publication: name },
        from,
        target: to,
        stream,
        fencingToken,
        misfits,
        tables,
      }),
  }
}

/** The slot of a worker that was cut off stays in use until its server notices; that reader is ended. */
async function startApplier(options: LogApplierOptions): Promise<LogApplier> {
  const { address, slot } = options.source
  let attempts = 0
  return retry(
    async () => {
      if (attempts++ > 0) {
        await withClient(address, 'freehold-claim', (mover) =>
          mover.query(
            'select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1 and active',
            [slot],
          ),
        )
      }
      return LogApplier.start(options)
    },
    { when: (error) => hasSqlState(error, SQLSTATE.objectInUse), attempts: 8, firstDelayMs: 20 },
  ).catch((error: unknown) => {
    if (!hasSqlState(error, SQLSTATE.undefinedObject, SQLSTATE.objectNotInPrerequisiteState)) throw error
    throw new FreeholdError('change_stream_failed', `Replication slot ${slot} is lost.`, { cause: error })
  })
}
