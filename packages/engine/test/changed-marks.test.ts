import { randomUUID } from 'node:crypto'
import { operationIdSchema, type TenantId } from '@freehold/contract'
import { POSTGRES_VERSIONS } from '@freehold/local'
import { closeClient, connectClient, SQLSTATE, withClient } from '@freehold/postgres'
import type pg from 'pg'
import t, { type Test } from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  createItemsDatabase,
  newTenantId,
  type TestDatabase,
  testEntryKey,
} from '../../../test/kit/tenants.ts'
import {
  activate,
  admitResident,
  claimSwitch,
  expectResident,
  fence,
  freeze,
  type ResidentScope,
  retire,
  seal,
  stopExpecting,
  unfence,
} from '../src/database/resident.ts'

// What a change of a mark leaves in it besides what it says. A writer takes a mark for replaced whose xmax is not 0: it looks a second
// time, and with one snapshot locks it. And whom a change waits for.

t.setTimeout(300_000)
const lease = { id: operationIdSchema.parse(randomUUID()), token: 1 }
const token = randomUUID()
const FENCED_MS = 600_000

for (const version of POSTGRES_VERSIONS) {
  t.test(`PostgreSQL ${version}`, async (t) => {
    const server = await startPreparedCluster('marks', {}, version)
    t.teardown(() => server.cluster.remove())
    const database = await createItemsDatabase(server, 'marks')
    const mover = await connectClient(server.as('freehold_mover', 'marks'), 'mover')
    t.teardown(() => closeClient(mover))
    await leavesNoLock(t, mover, database)
    await passesWhoHasLocked(t, mover, database)
    await isSeenPastTheSnapshot(t, mover, database)
  })
}

const scopeOf = (database: TestDatabase, tenantId: TenantId, epoch: number): ResidentScope => ({
  tenantId,
  epoch,
  entryKey: testEntryKey(database, tenantId, epoch),
})

async function leavesNoLock(t: Test, mover: pg.Client, database: TestDatabase): Promise<void> {
  const tenant = newTenantId()
  const here = scopeOf(database, tenant, 1)
  const back = scopeOf(database, tenant, 3)
  const later = scopeOf(database, tenant, 5)
  const isFenced = () => fence(mover, here, lease, token, FENCED_MS)
  const isSealed = () => seal({ client: mover, relations: [] }, here, token)

  /** @returns what stands in the mark, and the lock that is left in it. */
  async function after(change: Promise<unknown>): Promise<string> {
    await change
    const { rows } = await mover.query<{ mark: string }>(
      `select state || ', ' || case when is_open then 'open' else 'closed' end || ', '
         || case when xmax = '0' then 'free' else 'locked' end as mark
       from freehold.resident where tenant_id = $1`,
      [tenant],
    )
    return rows.map(({ mark }) => mark).join()
  }

  await t.test('no change of a mark leaves a lock in it', async (t) => {
    t.equal(await after(admitResident(mover, here)), 'active, open, free')
    t.equal(await after(claimSwitch(mover, here, lease)), 'active, open, free')
    t.equal(await after(isFenced()), 'fenced, open, free')
    t.equal(await after(unfence(mover, here, token)), 'active, open, free')
    t.equal(await after(isFenced()), 'fenced, open, free')
    t.equal(await after(isSealed()), 'sealed, closed, free')
    t.equal(await after(retire(mover, here)), 'moved, closed, free')
    // INSERT ... ON CONFLICT locks the row that is there; nobody writes as who is expected.
    t.equal(await after(expectResident(mover, back)), 'standby, closed, locked')
    t.equal(await after(freeze(mover, back)), 'frozen, closed, free')
    t.equal(await after(activate(mover, back)), 'active, open, free')
    t.equal(await after(expectResident(mover, later)), 'standby, closed, locked')
    t.equal(await after(stopExpecting(mover, back)), 'moved, closed, free')
    await mover.query('delete from freehold.resident')
    t.equal(await after(expectResident(mover, here)), 'standby, closed, free')
    const stream = { stream: randomUUID(), fencingToken: 1 }
    t.equal(await after(freeze(mover, here, stream)), 'frozen, closed, free')
    t.equal(await after(activate(mover, here)), 'active, open, free')
  })

  await t.test('a trigger before the UPDATE would have it leave one', async (t) => {
    const asOwner = (text: string) => withClient(database.owner, 'test', (client) => client.query(text))
    await asOwner(
      `create trigger too_early before update on freehold.resident for each row when (false)
         execute function freehold.announce_resident()`,
    )
    t.equal(await after(claimSwitch(mover, here, lease)), 'active, open, locked')
    await asOwner('drop trigger too_early on freehold.resident')
    t.equal(await after(claimSwitch(mover, here, lease)), 'active, open, free', 'until it is changed again')
  })
}

async function passesWhoHasLocked(t: Test, mover: pg.Client, database: TestDatabase): Promise<void> {
  await t.test('a fence waits for nobody who has locked the mark, and a seal does', async (t) => {
    const tenant = newTenantId()
    const here = scopeOf(database, tenant, 1)
    await admitResident(mover, here)
    const writer = await connectClient(database.app, 'writer')
    t.teardown(() => closeClient(writer))
    await writer.query('select pg_advisory_lock_shared(freehold.lock_key($1))', [tenant])
    await writer.query('begin isolation level repeatable read')
    await writer.query('select freehold.enter_writer($1, $2)', [tenant, here.entryKey])
    // Replaced since the snapshot: before it is written to, the mark is locked as by a foreign key.
    await claimSwitch(mover, here, lease)
    await writer.query(`insert into items (id, name) values (1, 'under a lock')`)

    await mover.query(`set lock_timeout = '100ms'`)
    await claimSwitch(mover, here, lease)
    t.ok(await fence(mover, here, lease, token, FENCED_MS))
    t.ok(await unfence(mover, here, token))
    t.ok(await fence(mover, here, lease, token, FENCED_MS))
    const sealNow = () => seal({ client: mover, relations: [] }, here, token)
    await t.rejects(sealNow(), { code: SQLSTATE.lockNotAvailable }, 'its change is one of a key')
    await writer.query('commit')
    t.ok(await sealNow())
    await mover.query('reset lock_timeout')
  })
}

async function isSeenPastTheSnapshot(t: Test, mover: pg.Client, database: TestDatabase): Promise<void> {
  await t.test('a seal is seen by who has one snapshot of before, and a fence is not', async (t) => {
    const here = scopeOf(database, newTenantId(), 1)
    await admitResident(mover, here)
    await claimSwitch(mover, here, lease)
    const locks = async (change: () => Promise<boolean>) => {
      const client = await connectClient(database.owner, 'test')
      t.teardown(() => closeClient(client))
      await client.query('begin isolation level repeatable read; select from freehold.resident')
      t.ok(await change())
      // It leaves the versions in between, by which the change is found.
      await withClient(database.owner, 'test', (owner) => owner.query('vacuum freehold.resident'))
      await client.query('select from freehold.resident where tenant_id = $1 for key share', [here.tenantId])
      await client.query('rollback')
    }
    await t.resolves(locks(() => fence(mover, here, lease, token, FENCED_MS)))
    await t.rejects(
      locks(() => seal({ client: mover, relations: [] }, here, token)),
      { code: SQLSTATE.serializationFailure },
    )
  })
}
