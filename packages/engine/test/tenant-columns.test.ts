import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTenantSchema, moveTargetSchema, type Tenant } from '@freehold/contract'
import { deriveEntryKey, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser, migrationsFolder } from '../../../test/kit/databases.ts'
import { prepareMovingGround, TEST_ENTRY_SECRET } from '../../../test/kit/moving-ground.ts'
import { admitResident } from '../src/database/resident.ts'

/** Products that call their tenants by something else than a UUID. */
const ground = await prepareMovingGround()
t.teardown(() => ground.remove())
const servers = [ground.us, ground.eu]
const pool = asSuperuser(ground.us.cluster, 'pool')

const schemaOf = (type: string) =>
  `create table visits (account ${type} not null, id int not null, primary key (account, id));
   select freehold.protect_table('visits', 'account')`

/** Nothing but one table, with a tenant column of this type, in both pools and in what is made from migrations. */
async function makeProduct(type: string): Promise<string> {
  for (const server of servers) {
    await withClient(server.as('freehold_owner', 'pool'), 'test', (client) =>
      client.query(`do $$ declare managed record; begin
          for managed in select relation from freehold.managed_table loop
            execute format('drop table if exists %s cascade', managed.relation);
          end loop;
        end $$;
        delete from freehold.managed_table; ${schemaOf(type)}`),
    )
  }
  const folder = await mkdtemp(join(tmpdir(), 'freehold-visits-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, '0001_visits.sql'), schemaOf(type))
  return folder
}

async function admit(id: string): Promise<Tenant> {
  const input = createTenantSchema.parse({ id, slug: `tenant-${id}`, name: id, region: 'us' })
  const { tenant } = await ground.catalog.tenants.create(input, (tenantId, { epoch, dataDatabaseId }) => {
    const entryKey = deriveEntryKey(TEST_ENTRY_SECRET, { tenantId, dataDatabaseId, epoch })
    return withClient(ground.us.as('freehold_mover', 'pool'), 'test', (client) =>
      admitResident(client, { tenantId, epoch, entryKey }),
    )
  })
  await withClient(pool, 'test', (client) =>
    client.query(`insert into visits select '${id}', n from generate_series(1, 5) n`),
  )
  return tenant
}

for (const [type, id] of [
  ['bigint', '9007199254740993'],
  ['integer', '4711'],
  ['varchar(8)', 'acme'],
] as const) {
  t.test(`a tenant whose column is ${type} moves`, async (t) => {
    const product = await makeProduct(type)
    const tenant = await admit(id)
    const engine = ground.engine({
      settings: { migrations: { freehold: migrationsFolder('data'), product } },
    })
    t.teardown(() => engine.stop())
    engine.start()
    for (const isolation of ['silo', 'pool'] as const) {
      const move = await ground.startMove(tenant, moveTargetSchema.parse({ isolation, region: 'eu' }))
      const { phase, to, events } = await ground.ended(move.id)
      t.equal(phase, 'completed', { timeline: events.map(({ message }) => message) })
      await withClient(asSuperuser(ground.eu.cluster, to.database), 'test', async (client) => {
        t.equal((await client.query('select from visits where account = $1', [id])).rowCount, 5)
        await client.query("delete from freehold.resident where state <> 'active'")
      })
    }
    for (const server of servers) {
      await withClient(asSuperuser(server.cluster, 'pool'), 'test', (client) =>
        client.query('delete from freehold.resident'),
      )
    }
  })
}
