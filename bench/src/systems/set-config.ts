import { clientConfig } from '@freehold/postgres'
import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely'
import pg from 'pg'
import type { System, SystemOptions } from './system.ts'
import { scopedQueries, type Tables } from './tables.ts'

/** The usual pattern: every piece of work in a transaction that begins with `set_config`, and row security. */
export function openSetConfig({ address, connections }: SystemOptions): System {
  const pool = new pg.Pool({ ...clientConfig(address, 'bench-set-config'), max: connections })
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  const { pointRead, page, addOne } = scopedQueries('items_set_config')

  const asTenant = <T>(tenantId: string, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> =>
    db.transaction().execute(async (trx) => {
      await sql`select set_config('app.tenant_id', ${tenantId}, true)`.execute(trx)
      return work(trx)
    })

  return {
    pointRead: (tenantId, id) => asTenant(tenantId, (trx) => pointRead(trx, id)),
    page: (tenantId, afterId) => asTenant(tenantId, (trx) => page(trx, afterId)),
    insert: (tenantId, item) =>
      asTenant(tenantId, async (trx) => {
        const result = await trx
          .insertInto('items_set_config')
          .values({ tenant_id: tenantId, ...item })
          .executeTakeFirst()
        return Number(result.numInsertedOrUpdatedRows)
      }),
    readAndUpdate: (tenantId, id) =>
      asTenant(tenantId, async (trx) => {
        const item = await pointRead(trx, id)
        return (await addOne(trx, id)) ? item : undefined
      }),
    close: () => db.destroy(),
  }
}
