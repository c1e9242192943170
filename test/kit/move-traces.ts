import { type DatabaseAddress, withClient } from '@freehold/postgres'
import { patiently } from './patiently.ts'

/**
 * What only a move that goes on has in a data database: publications, triggers that note changes and what they have noted,
 * claims of a target, tables that do not outlive a crash.
 */
export async function moveTraces(superuser: DatabaseAddress): Promise<string[]> {
  return patiently(() =>
    withClient(superuser, 'test', async (client) => {
      const found = await client.query<{ what: string; name: string }>(
        `select 'publication' as what, pubname::text as name from pg_publication
       union all select 'trigger', format('%s on %s', tgname, tgrelid::regclass) from pg_trigger
         where tgfoid in (select oid from pg_proc where proname = 'record_change' and pronamespace = 'freehold'::regnamespace)
       union all select 'change', format('%s of %s', stream, relation) from freehold.change
       union all select 'claim', stream from freehold.applied
       union all select 'unlogged table', oid::regclass::text from pg_class where relkind = 'r' and relpersistence = 'u'`,
      )
      return found.rows.map(({ what, name }) => `${what} ${name}`)
    }),
  )
}
