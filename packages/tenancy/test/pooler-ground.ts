import { setTimeout as sleep } from 'node:timers/promises'
import type { TenantId } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import type { FreeholdDatabase, Router, RouterOptions } from '@freehold/tenancy'
import { type Kysely, sql } from 'kysely'
import { startPgBouncer, type TestPgBouncer } from '../../../test/kit/pgbouncer.ts'
import {
  createItemsDatabase,
  createOwnSchema,
  newTenantId,
  setResident,
  type TestDatabase,
} from '../../../test/kit/tenants.ts'
import { prepareRouterGround, type RouterGround } from './router-ground.ts'

/** Two poolers, of one server connection and of four, and routers that know of them. */
export interface PoolerGround extends Omit<RouterGround<FreeholdDatabase>, 'newTenant'> {
  readonly narrow: TestPgBouncer
  readonly wide: TestPgBouncer
  /** One for each pooler: what is left on a session is looked for in one of its own. */
  readonly databases: { readonly one: TestDatabase; readonly four: TestDatabase }
  readonly silo: TestDatabase
  readonly router: Router
  /** A router that is not told that there is a pooler. */
  untoldRouter(options: Partial<RouterOptions>): Router
  /** A tenant that is reached through a pooler: the narrow one, in its database, unless told otherwise. */
  newTenant(through?: TestPgBouncer, database?: TestDatabase, schema?: string | null): Promise<TenantId>
  /** Asks the one server session behind the narrow pooler, as nobody. */
  behind<R extends Record<string, unknown>>(text: string): Promise<R[]>
}

export async function preparePoolerGround(name: string): Promise<PoolerGround> {
  const ground = await prepareRouterGround(name, { maxConnectionsPerDatabase: 8, maxConnectionsPerTenant: 8 })
  const server = ground.prepared.as('freehold_app', 'postgres')
  const silo = await createItemsDatabase(ground.prepared, 'silo')
  const databases = {
    one: await createItemsDatabase(ground.prepared, 'pool'),
    four: await createItemsDatabase(ground.prepared, 'wide'),
  }
  for (const { owner } of [databases.one, databases.four, silo]) {
    await withClient(owner, 'test', async (client) => {
      // What the router knows nothing about: everything that a session can remember.
      await client.query(`create function remember(secret text) returns text language plpgsql as $$
        begin
          perform set_config('a.secret', secret, false), set_config('search_path', 'pg_catalog', false),
            set_config('timezone', 'Asia/Tokyo', false), set_config('statement_timeout', '12345', false),
            set_config('client_encoding', 'LATIN1', false), pg_advisory_lock(42), nextval('counter');
          execute 'listen leak';
          execute 'prepare leak as select name from public.items';
          execute 'declare leak cursor with hold for select name from public.items';
          return secret;
        end $$`)
      await client.query('create sequence counter; grant usage on sequence counter to freehold_app')
      await client.query(`create function fail(lock bigint) returns int language plpgsql as $$
        begin perform pg_advisory_lock(lock); raise exception 'on purpose'; end $$`)
      await client.query(`create function twice(n int) returns int language sql as 'select n * 2'`)
    })
  }
  for (const schema of ['own', 'kept']) await createOwnSchema(databases.four, schema)

  // As some deployments have it: what a router that is not told of the pooler asks for is dropped without a word.
  const ignoring = { ignore_startup_parameters: 'options' }
  const narrow = await startPgBouncer(server, {
    poolSize: 1,
    settings: { query_wait_timeout: 60, ...ignoring },
  })
  const wide = await startPgBouncer(server, { poolSize: 4 })
  const newRouter = (options: Partial<RouterOptions> = {}) =>
    ground.newRouter({ pooler: 'transaction', ...options })

  return {
    ...ground,
    narrow,
    wide,
    databases,
    silo,
    newRouter,
    untoldRouter: ground.newRouter,
    router: newRouter(),
    async newTenant(through = narrow, database = databases.one, schema = null) {
      const tenantId = newTenantId()
      await setResident(database, tenantId, 'active', 1, schema)
      const address = through.through(database.app)
      ground.source.place(
        database,
        tenantId,
        schema === null ? { address } : { address, isolation: 'schema', schema },
      )
      return tenantId
    },
    behind: <R extends Record<string, unknown>>(text: string) =>
      withClient(
        narrow.through(databases.one.app),
        'test',
        async (client) => (await client.query<R>(text)).rows,
      ),
    async remove() {
      await ground.remove()
      await Promise.all([narrow.remove(), wide.remove()])
    },
  }
}

export const pidOf = async (db: Kysely<FreeholdDatabase>) =>
  (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)).rows[0]?.pid

export const ids = async (db: Kysely<FreeholdDatabase>) =>
  (await db.selectFrom('items').select('id').orderBy('id').execute()).map(({ id }) => id)

/** What a session remembers. */
export const STATE = `select pg_backend_pid() as pid, coalesce(current_setting('a.secret', true), '') as secret,
  coalesce(current_setting('freehold.entry', true), '') as entry, current_setting('search_path') as path,
  current_setting('timezone') as zone, current_setting('client_encoding') as encoding, current_setting('transaction_read_only') as read_only,
  (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
  (select count(*)::int from pg_prepared_statements) as prepared, (select count(*)::int from pg_cursors where is_holdable) as cursors,
  (select count(*)::int from pg_listening_channels()) as channels, (select count(*)::int from pg_class where relpersistence = 't') as temporary`

export async function waitsForLock(client: {
  query(text: string): Promise<{ rowCount: number | null }>
}): Promise<void> {
  while (!(await client.query('select from pg_locks where not granted')).rowCount) await sleep(10)
}
