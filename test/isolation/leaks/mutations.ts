// The switches that take a guard out, for as long as some work runs. None of them exists outside of tests: they are SQL
// run by the owner of a database, or a method of the router's or of the driver's that is exchanged in this process.

import { withClient } from '@freehold/postgres'
import pg from 'pg'
import { ConnectionPool } from '../../../packages/tenancy/src/connections/connection-pool.ts'
import { DatabasePools } from '../../../packages/tenancy/src/connections/database-pools.ts'
import type { TestDatabase } from '../../kit/tenants.ts'
import type { LeakGround } from './leak-ground.ts'

type Method = (this: unknown, ...given: unknown[]) => unknown

/** Exchanges a method of a class for one that may call the original. */
export async function withMethod<T>(
  prototype: object,
  name: string,
  exchange: (original: Method) => Method,
  work: () => Promise<T>,
): Promise<T> {
  const original: unknown = Reflect.get(prototype, name)
  if (typeof original !== 'function') throw new Error(`there is no method ${name}`)
  const inherited = !Object.hasOwn(prototype, name)
  const call: Method = function (...given) {
    return Reflect.apply(original, this, given)
  }
  Reflect.set(prototype, name, exchange(call))
  try {
    return await work()
  } finally {
    if (inherited) Reflect.deleteProperty(prototype, name)
    else Reflect.set(prototype, name, original)
  }
}

/** DISCARD ALL does nothing: connections go from hand to hand as they are. */
export function withoutReset<T>(work: () => Promise<T>): Promise<T> {
  return withMethod(
    pg.Client.prototype,
    'query',
    (original) =>
      function (...given) {
        return given[0] === 'discard all' ? Promise.resolve() : original.apply(this, given)
      },
    work,
  )
}

/** Every connection that is given back counts as being outside of transactions, and unharmed. */
export function withoutStateChecks<T>(work: () => Promise<T>): Promise<T> {
  return withMethod(
    pg.Client.prototype,
    'getTransactionStatus',
    () => () => 'I',
    () =>
      withMethod(
        ConnectionPool.prototype,
        'release',
        (original) =>
          function (...given) {
            const [connection] = given
            if (typeof connection === 'object' && connection) Reflect.set(connection, 'broken', false)
            return original.apply(this, given)
          },
        work,
      ),
  )
}

/** The connections that the process opened first are everybody's, wherever they live. */
export function withoutRouting<T>(work: () => Promise<T>): Promise<T> {
  let first: unknown
  return withMethod(
    DatabasePools.prototype,
    'for',
    (original) =>
      function (...given) {
        first ??= original.apply(this, given)
        return first
      },
    work,
  )
}

/** Runs statements as the owner before the work, and others after it. */
export async function withChange<T>(
  database: TestDatabase,
  change: string,
  undo: string,
  work: () => Promise<T>,
  as: 'owner' | 'superuser' = 'owner',
): Promise<T> {
  const run = (text: string) => withClient(database[as], 'test', (client) => client.query(text))
  await run(change)
  try {
    return await work()
  } finally {
    await run(undo)
  }
}

/** Row security is switched off on the tables that tenants of the ground may name in the attacker's home. */
export function withoutRowSecurity<T>(
  { attacker, foreignItems }: LeakGround,
  work: () => Promise<T>,
): Promise<T> {
  const tables = [...new Set([foreignItems, 'public.items'])]
  const all = (what: string) =>
    tables.map((table) => `alter table ${table} ${what} row level security;`).join('')
  return withChange(attacker.home, all('disable'), all('enable'), work)
}

/** The policy of a tenant table is exchanged. Without `check` it stays as it is for what is written. */
export async function withPolicy<T>(
  database: TestDatabase,
  table: string,
  { using, check }: { readonly using?: string; readonly check?: string },
  work: () => Promise<T>,
): Promise<T> {
  const original = await withClient(database.owner, 'test', async (client) => {
    const { rows } = await client.query<{ using: string; check: string }>(
      `select pg_get_expr(polqual, polrelid) as using, pg_get_expr(polwithcheck, polrelid) as check
       from pg_policy where polrelid = $1::regclass and polname = 'freehold_tenant'`,
      [table],
    )
    const [policy] = rows
    if (!policy) throw new Error(`${table} has no policy`)
    return policy
  })
  const alter = (using = original.using, withCheck = original.check) =>
    `alter policy freehold_tenant on ${table} using (${using}) with check (${withCheck})`
  return withChange(database, alter(using, check), alter(), work)
}

/** As `withChange`, for a function of which there is one. */
async function withFunctions<T>(
  database: TestDatabase,
  replacements: Readonly<Record<string, string>>,
  work: () => Promise<T>,
): Promise<T> {
  const definitions = await withClient(database.owner, 'test', async (client) => {
    const { rows } = await client.query<{ definition: string }>(
      'select pg_get_functiondef(name::regproc) as definition from unnest($1::text[]) name',
      [Object.keys(replacements)],
    )
    return rows.map(({ definition }) => definition)
  })
  return withChange(database, Object.values(replacements).join(';'), definitions.join(';'), work)
}

/** Entering is remembered by the session: whoever comes later on the connection is taken for whoever came first. */
export async function withRememberedEntry<T>(ground: LeakGround, work: () => Promise<T>): Promise<T> {
  const homes = [...new Set([ground.attacker.home, ground.victim.home])]
  const inAll = homes.reduceRight<() => Promise<T>>(
    (rest, home) => () =>
      withFunctions(
        home,
        {
          'freehold.enter_reader': rememberingEntry('reader(entry_key text)'),
          'freehold.enter_writer': rememberingEntry('writer(tenant text, entry_key text)'),
        },
        rest,
      ),
    work,
  )
  return inAll()
}

const rememberingEntry = (signature: string) => `
  create or replace function freehold.enter_${signature} returns void
    language plpgsql volatile security definer
  as $$
  declare
    own_schema name;
  begin
    if coalesce(current_setting('leaks.entered', true), '') = '' then
      select schema_name into own_schema from freehold.resident
      where entry_digest = sha256(convert_to(entry_key, 'UTF8'));
      perform set_config('leaks.entered', 'yes', false), set_config('freehold.entry', entry_key, false);
      if own_schema is not null then
        perform set_config('search_path', quote_ident(own_schema) || ', public', false);
      end if;
    end if;
  end
  $$`

/**
 * What every framework that "sets the current tenant" can come to: the previous tenant stays when the next one is
 * served. With a database each that takes two guards out: the way to the database, and the entry into it.
 */
export function withPreviousTenantPersisting<T>(ground: LeakGround, work: () => Promise<T>): Promise<T> {
  const remembered = () => withRememberedEntry(ground, work)
  return ground.isolation === 'silo' ? withoutRouting(remembered) : remembered()
}
