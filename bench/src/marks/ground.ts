import type { TenantId } from '@freehold/contract'
import { closeClient, connectClient, withClient } from '@freehold/postgres'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  createItemsDatabase,
  newTenantId,
  setResident,
  type TestDatabase,
  testEntryKey,
} from '../../../test/kit/tenants.ts'

/** What has been done to a tenant's mark since it was made. */
export const markKinds = ['new', 'changed', 'locked'] as const
export type MarkKind = (typeof markKinds)[number]

export const isolationLevels = ['read committed', 'repeatable read'] as const
export type IsolationLevel = (typeof isolationLevels)[number]

/** Beside those that are measured, so that a mark is looked up as in any pool. */
const OTHERS = 50

/** What makes a new mark one of a kind. */
const CHANGES: Readonly<Record<MarkKind, readonly string[]>> = {
  new: [],
  // As by an attempt to switch that comes to nothing.
  changed: [
    `update freehold.resident set claimed_by = gen_random_uuid(), claim_token = 1 where tenant_id = $1`,
    `update freehold.resident set state = 'fenced', fence_token = gen_random_uuid(),
       fence_expires_at = clock_timestamp() + interval '1 minute' where tenant_id = $1`,
    `update freehold.resident set state = 'active', fence_token = null, fence_expires_at = null where tenant_id = $1`,
  ],
  // As every changed one was before data migration 0008.
  locked: [`select from freehold.resident where tenant_id = $1 for key share`],
}

/** A server with a tenant of each kind, and a session that writes as them. */
export interface MarksGround {
  /** @returns the microseconds that a transaction takes, of `count` that enter and insert a row each, one after the other. */
  write(kind: MarkKind, level: IsolationLevel, count: number): Promise<number>
  /** @throws Error when a mark is not of its kind any more, or a row is missing. */
  check(written: number): Promise<void>
  remove(): Promise<void>
}

export async function prepareMarks(): Promise<MarksGround> {
  const server = await startPreparedCluster('marks', { autovacuum: 'off' })
  try {
    const database = await createItemsDatabase(server, 'marks')
    const tenants = await markTenants(database)
    const writer = await connectClient(database.app, 'bench')
    for (const tenant of Object.values(tenants)) {
      // What has one snapshot needs the lock before it begins.
      await writer.query('select pg_advisory_lock_shared(freehold.lock_key($1))', [tenant])
    }
    let nextId = 1

    return {
      async write(kind, level, count) {
        await writer.query(`set default_transaction_isolation = '${level}'`)
        const text = transactions(database, tenants[kind], nextId, count)
        nextId += count
        const started = performance.now()
        await writer.query(text)
        return ((performance.now() - started) * 1_000) / count
      },
      check: (written) => check(database, written, tenants.locked),
      async remove() {
        await closeClient(writer)
        await server.cluster.remove()
      },
    }
  } catch (error) {
    await server.cluster.remove()
    throw error
  }
}

/** Makes a tenant of each kind, and others. */
async function markTenants(database: TestDatabase): Promise<Readonly<Record<MarkKind, TenantId>>> {
  const tenants = { new: newTenantId(), changed: newTenantId(), locked: newTenantId() }
  const others = Array.from({ length: OTHERS }, newTenantId)
  for (const tenant of [...Object.values(tenants), ...others]) await setResident(database, tenant)
  await withClient(database.superuser, 'bench', async (client) => {
    for (const kind of markKinds) {
      for (const change of CHANGES[kind]) await client.query(change, [tenants[kind]])
    }
    await client.query('vacuum (analyze)')
  })
  return tenants
}

/** One statement, so that nothing is measured but the server. */
function transactions(database: TestDatabase, tenant: TenantId, first: number, count: number): string {
  return `do $$ begin
      for id in ${first}..${first + count - 1} loop
        perform freehold.enter_writer('${tenant}', '${testEntryKey(database, tenant)}');
        insert into items (id, name) values (id, 'written');
        commit;
      end loop;
    end $$`
}

async function check(database: TestDatabase, written: number, locked: TenantId): Promise<void> {
  const { rows } = await withClient(database.superuser, 'bench', (client) =>
    client.query<{ rows: number; locked: string[] }>(
      `select (select count(*)::int from items) as rows,
         array(select tenant_id from freehold.resident where xmax <> '0') as locked`,
    ),
  )
  if (rows[0]?.rows !== written) throw new Error(`${rows[0]?.rows} rows instead of ${written}`)
  if (rows[0].locked.join() !== locked) throw new Error('a mark is not what it was made to be')
}
