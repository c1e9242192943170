// The example of docs/testing.md, as it stands there.
import { readFile } from 'node:fs/promises'
import fastifyJwt from '@fastify/jwt'
import { tenantIdSchema } from '@freehold/contract'
import { createRouter } from '@freehold/tenancy'
import { freehold } from '@freehold/tenancy/fastify'
import { assertIsolated, seedTwoTenants } from '@freehold/tenancy/testing'
import fastify from 'fastify'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  ControlledSource,
  createItemsDatabase,
  setResident,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'

const prepared = await startPreparedCluster('testing-example')
const database = await createItemsDatabase(prepared, 'pool')
const placements = new ControlledSource()
const source = {
  async admit(id: string) {
    const tenantId = tenantIdSchema.parse(id)
    await setResident(database, tenantId)
    placements.place(database, tenantId)
  },
}
const router = createRouter({ source: placements, entrySecret: testEntrySecret })
const app = fastify()
t.teardown(async () => {
  await app.close()
  await router.close()
  await prepared.cluster.remove()
})
await app.register(fastifyJwt, { secret: 'a jwt secret that is only good for tests' })
await app.register(freehold, { router })
app.get('/items', (request) => request.db.selectFrom('items').selectAll().execute())
const authorization = (tenant: string) => ({ authorization: `Bearer ${app.jwt.sign({ tenant })}` })

t.test('the example of the documentation', async (t) => {
  // begin of the example
  const tenants = await seedTwoTenants({
    router,
    admit: (id) => source.admit(id),
    seed: (db, { marker }) => db.insertInto('items').values({ id: 1, name: marker }).execute(),
  })

  // Product code.
  await assertIsolated({
    ...tenants,
    exercise: (db) => db.selectFrom('items').selectAll().execute(),
  })

  // A route, asked with each tenant's token.
  await assertIsolated({
    ...tenants,
    exercise: (_db, { id }) => app.inject({ url: '/items', headers: authorization(id) }),
  })
  // end of the example
  t.pass('nothing crossed')
})

t.test('is what was run', async (t) => {
  const here = await readFile(new URL(import.meta.url), 'utf8')
  const [, run = ''] = /\/\/ begin of the example\n([\s\S]*?)\n {2}\/\/ end of the example/.exec(here) ?? []
  const document = await readFile(new URL('../../../docs/testing.md', import.meta.url), 'utf8')
  const [, printed = ''] = /<!-- file: example -->\n```ts\n([\s\S]*?)\n```/.exec(document) ?? []
  t.equal(printed, run.replaceAll(/^ {2}/gm, ''))
})
