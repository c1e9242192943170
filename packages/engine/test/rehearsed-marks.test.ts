import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { operationIdSchema, type TenantId, tenantIdSchema } from '@freehold/contract'
import { closeClient, connectClient, withClient } from '@freehold/postgres'
import type pg from 'pg'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { createItemsDatabase, newTenantId } from '../../../test/kit/tenants.ts'
import { rehearseMarks } from '../src/database/resident.ts'

const server = await startPreparedCluster('us')
t.teardown(() => server.cluster.remove())
await createItemsDatabase(server, 'here')
await createItemsDatabase(server, 'there')
await createItemsDatabase(server, 'numbered', { name: 'account', type: 'bigint' })

/** The sessions of a worker that comes to switch. */
async function openSessions(name: string, [from, to] = ['here', 'there']) {
  const [source, lockHolder, target] = await Promise.all([
    connectClient(server.as('freehold_mover', from), name),
    connectClient(server.as('freehold_mover', from), name),
    connectClient(server.as('freehold_mover', to), name),
  ])
  for (const client of [source, lockHolder, target]) client.on('error', () => undefined)
  t.teardown(() => Promise.all([source, lockHolder, target].map(closeClient)))
  return { source, lockHolder, target }
}
type Sessions = Awaited<ReturnType<typeof openSessions>>

const id = operationIdSchema.parse(randomUUID())

function rehearse(
  { source, lockHolder, target }: Sessions,
  token: number,
  idleMs: number,
  tenantId = newTenantId(),
) {
  const back = { stream: `back-of-${id}`, fencingToken: token }
  return rehearseMarks(source, { client: lockHolder, relations: [] }, target, {
    tenantId,
    lease: { id, token },
    idleMs,
    back,
  })
}

/** Rehearses, but stands still when all is done but to undo it. @returns when it has come to that in all sessions. */
function standStill(sessions: Sessions, idleMs: number, tenantId?: TenantId): Promise<void> {
  const allReached = Promise.withResolvers<void>()
  let reached = 0
  const still = (client: pg.Client): pg.Client => {
    const query = (...asked: Parameters<pg.Client['query']>) => {
      if (String(asked[0]) !== 'rollback') return client.query(...asked)
      if (++reached === 3) allReached.resolve()
      return new Promise(() => undefined)
    }
    return new Proxy(client, { get: (of, name) => (name === 'query' ? query : Reflect.get(of, name)) })
  }
  const { source, lockHolder, target } = sessions
  const standing = { source: still(source), lockHolder: still(lockHolder), target: still(target) }
  void rehearse(standing, 1, idleMs, tenantId).catch(() => undefined)
  return allReached.promise
}

t.test("a worker that stands still while it rehearses is in nobody's way", async (t) => {
  await standStill(await openSessions('slow'), 300_000)
  const successor = await openSessions('successor')
  await successor.target.query("set lock_timeout = '1s'")
  await t.resolves(rehearse(successor, 2, 300_000), 'its successor waits for nothing of it')

  void standStill(await openSessions('forgetful'), 200)
  while ((await statesOf('forgetful')).length > 0) await sleep(20)
  t.equal((await statesOf('slow')).length, 3, 'the server ends what does nothing for longer than it may')
  for (const database of ['here', 'there']) {
    await withClient(asSuperuser(server.cluster, database), 'test', async (client) => {
      t.equal((await client.query('select from freehold.resident')).rowCount, 0, 'and nothing of it stays')
      t.equal((await client.query('select from freehold.applied')).rowCount, 0)
    })
  }
})

t.test('who is rehearsed with is of the kind that the tenant column takes', async (t) => {
  const sessions = await openSessions('counted', ['numbered', 'numbered'])
  await standStill(sessions, 300_000, tenantIdSchema.parse('4711'))
  t.same(await statesOf('counted'), Array(3).fill('idle in transaction'), 'and not refused')
})

async function statesOf(name: string): Promise<string[]> {
  return withClient(asSuperuser(server.cluster, 'postgres'), 'test', async (client) => {
    const found = await client.query<{ state: string }>(
      'select state from pg_stat_activity where application_name = $1',
      [name],
    )
    return found.rows.map(({ state }) => state)
  })
}
