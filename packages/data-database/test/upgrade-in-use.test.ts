import { dataMigrations } from '@freehold/data-database'
import { closeClient, connectClient, migrate, SQLSTATE, withClient } from '@freehold/postgres'
import type pg from 'pg'
import t from 'tap'
import { type PreparedCluster, startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { createDatabase, withEarlierMigrations } from '../../../test/kit/databases.ts'

// A database that is brought to another version of the schema freehold while it is used, by products and by moves.

const server = await startPreparedCluster('upgrade')
t.teardown(() => server.cluster.remove())
const ENTRY_KEY = 'a key that is only good for tests'

const asOwner = <T>(work: (owner: pg.Client) => Promise<T>) =>
  withClient(server.as('freehold_owner', 'used'), 'test', work)
const upgrade = () => asOwner((owner) => migrate(owner, dataMigrations(), 'data'))

async function open(role: Parameters<PreparedCluster['as']>[0], ...statements: string[]): Promise<pg.Client> {
  const client = await connectClient(server.as(role, 'used'), 'test')
  t.teardown(() => closeClient(client))
  for (const statement of statements) await client.query(statement)
  return client
}

const marks = () =>
  asOwner(async (owner) => {
    const { rows } = await owner.query<{ mark: string }>(
      `select tenant_id || ' ' || state || ' ' || case when is_open then 'open' else 'closed' end || ' '
         || case when xmax = '0' then 'free' else 'locked' end as mark from freehold.resident order by 1`,
    )
    return rows.map(({ mark }) => mark)
  })

t.test('marks that were changed before 0008 are brought to it while writers are at work', async (t) => {
  await createDatabase(server.cluster, 'used')
  await asOwner(async (owner) => {
    await withEarlierMigrations(8, (folder) => migrate(owner, folder, 'data'))
    await owner.query(
      `create table notes (tenant_id text not null, id integer, primary key (tenant_id, id));
       select freehold.protect_table('notes');
       insert into freehold.resident (tenant_id, epoch, entry_digest, state)
         values ('new', 1, sha256('new'), 'active'), ('used', 1, sha256('${ENTRY_KEY}'), 'active'),
           ('gone', 1, sha256('gone'), 'frozen');
       update freehold.resident set epoch = epoch where tenant_id = 'used';
       update freehold.resident set state = 'moved' where tenant_id = 'gone'`,
    )
  })
  t.same(await marks(), ['gone moved closed locked', 'new active open free', 'used active open locked'])

  const enter = `select freehold.enter_writer('used', '${ENTRY_KEY}')`
  const write = (id: number) => `insert into notes (id) values (${id})`
  const reader = await open('freehold_app', 'begin', `select freehold.enter_reader('${ENTRY_KEY}')`)
  const writer = await open('freehold_app', 'begin', enter, write(1), 'commit', 'begin', enter, write(2))
  const single = await open(
    'freehold_app',
    `select pg_advisory_lock_shared(freehold.lock_key('used'))`,
    ...['begin isolation level repeatable read', enter, write(3)],
  )
  // As a move has its copy read by the snapshot with which its stream begins, in sessions that come later.
  const exporter = await open('freehold_mover', 'begin isolation level repeatable read')
  const { rows } = await exporter.query<{ snapshot: string }>('select pg_export_snapshot() as snapshot')

  const switching = await open('freehold_mover', 'begin', 'update freehold.resident set claim_token = null')
  await t.rejects(upgrade(), { code: SQLSTATE.lockNotAvailable }, 'a move comes first')
  await switching.query('rollback')
  t.same(await upgrade(), ['0008_changed_marks.sql'], 'those who have entered are not waited for')
  const locked = ['gone moved closed free', 'new active open free', 'used active open locked']
  t.same(await marks(), locked, 'by the writer with one snapshot, who is at work')

  t.equal((await reader.query('select from notes')).rowCount, 1)
  for (const [index, client] of [writer, single].entries()) {
    await client.query(write(10 + index))
    await client.query('commit')
  }
  const copy = await open(
    'freehold_mover',
    `begin isolation level repeatable read; set transaction snapshot '${rows[0]?.snapshot}'`,
    `select set_config('freehold.entry', '${ENTRY_KEY}', true)`,
  )
  t.equal((await copy.query('select from notes')).rowCount, 1, 'a snapshot of before shows what it has shown')
  await open('freehold_mover', `update freehold.resident set state = 'frozen' where tenant_id = 'used'`)
  t.same(await marks(), ['gone moved closed free', 'new active open free', 'used frozen closed free'])
})
