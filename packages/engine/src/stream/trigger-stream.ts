import { connectClient, withClient } from '@freehold/postgres'
import {
  type ChangeTriggersRow,
  changeTriggersQuery,
  createChangeTriggers,
  dropChangeTriggers,
  toChangeTriggers,
} from '../resources/change-triggers.ts'
import type { ChangeStream, StreamRoute } from './change-stream.ts'
import { secureLog } from './secure-log.ts'
import { TriggerApplier } from './trigger-applier.ts'

/**
 * The changes of a tenant as triggers on its tables note them, for servers whose log cannot be had: which rows have
 * changed. What is in them is read when they are carried over.
 */
export function triggerStream(route: StreamRoute): ChangeStream {
  const { from, name } = route
  const tables = route.tables.map((pair) => pair.source)
  return {
    resources: [{ kind: 'change_triggers', name }],

    async create(patience, begun) {
      await withClient(from.owner, 'freehold-stream', async (owner) => {
        try {
          await createChangeTriggers(owner, name, tables, from.tenantId, patience)
        } catch (error) {
          // Half of them would go on noting for nobody until the move ends.
          await dropChangeTriggers(owner, name).catch(() => undefined)
          throw error
        }
      })
      await begun?.()
      const holder = await connectClient(from.mover, 'freehold-stream')
      const release = () => holder.end().catch(() => undefined)
      try {
        // What was written before the triggers were there has committed: making them waited for it.
        await holder.query('begin isolation level repeatable read read only')
        const exported = await holder.query<{ snapshot: string }>('select pg_export_snapshot() as snapshot')
        await withClient(from.mover, 'freehold-stream', (mover) => secureLog(mover, name))
        return { snapshot: exported.rows[0]?.snapshot ?? '', release }
      } catch (error) {
        await release()
        throw error
      }
    },

    async carriedTables(source) {
      const found = await source.query<ChangeTriggersRow>(changeTriggersQuery(name, tables))
      return toChangeTriggers(found.rows).carried
    },

    startApplier: (fencingToken, misfits) => TriggerApplier.start(route, fencingToken, misfits),
  }
}
