import type { ChangeStreamChoice, MoveDetail, Tenant } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { digests, exactContent, exactStructure } from './exact-content.ts'
import { prepareZooGround, type ZooGround } from './zoo-ground.ts'
import { fillZoo, stirZoo } from './zoo-rows.ts'

/** Every type and every kind of table arrives byte for byte, by the copy and by the stream. */
const ground: ZooGround = await prepareZooGround()
t.teardown(() => ground.remove())
t.setTimeout(240_000)

// Settings that change how values look as text, different at the two ends.
for (const [on, settings] of [
  [ground.us, { datestyle: 'SQL, DMY', intervalstyle: 'sql_standard', timezone: 'Asia/Kathmandu' }],
  [ground.eu, { datestyle: 'German', intervalstyle: 'iso_8601', timezone: 'America/St_Johns' }],
] as const) {
  await withClient(asSuperuser(on.cluster, 'postgres'), 'test', async (client) => {
    for (const role of ['freehold_mover', 'freehold_owner']) {
      for (const [name, value] of Object.entries({
        ...settings,
        extra_float_digits: '-5',
        bytea_output: 'escape',
        xmloption: 'document',
      })) {
        await client.query(`alter role ${role} set ${name} = '${value}'`)
      }
    }
  })
}

const cluster = (region: string) => (region === 'us' ? ground.us : ground.eu).cluster

/** Moves the tenant while its rows are changed in every phase, and compares what was fenced with what arrived. */
async function moveStirred(
  t: Test,
  tenant: Tenant,
  region: string,
  changeStream: ChangeStreamChoice,
  first: number,
): Promise<MoveDetail> {
  const source = asSuperuser(cluster(tenant.placement.region), tenant.placement.database)
  const phases = ['backfill.entered', 'backfill.copied', 'verify.entered', 'ready.entered']
  let fenced: Record<string, string[]> = {}
  const engine = ground.zooEngine({
    owner: `zoo-${region}`,
    barrier: async (name) => {
      const round = phases.indexOf(name)
      if (round >= 0) {
        phases[round] = 'done'
        await stirZoo(source, tenant.id, first + round * 10, first + (round + 1) * 10, ground.oldestVersion)
      }
      if (name === 'cutover.fenced') fenced = await exactContent(source, tenant.id)
    },
  })
  const structure = await exactStructure(source)
  const ended = await ground.ended((await ground.startMove(tenant, region, changeStream)).id)
  await engine.stop()
  t.equal(ended.phase, 'completed')
  t.notOk(ended.events.some(({ message }) => message.startsWith('Interrupted')))
  t.same(phases, ['done', 'done', 'done', 'done'])
  const target = asSuperuser(cluster(region), ended.to.database)
  const arrived = await exactContent(target, tenant.id)
  t.ok((fenced.animals?.length ?? 0) > 40 && Object.keys(fenced).length > 15, 'there is something to compare')
  t.same(digests(arrived), digests(fenced))
  for (const table of Object.keys(fenced)) t.same(arrived[table], fenced[table], table)
  t.same(await exactStructure(target), structure, 'the tables are what they were')
  return ended
}

for (const [changeStream, first] of [
  ['logical', 100],
  ['triggers', 400],
] as const) {
  t.test(
    `every type and kind of table moves from a pool to a silo, and from there to another: ${changeStream}`,
    async (t) => {
      const tenant = await ground.tenant(`zoo-${changeStream}`, 20)
      const neighbour = await ground.tenant(`next-door-${changeStream}`, 20)
      const pool = asSuperuser(ground.us.cluster, 'pool')
      await fillZoo(pool, tenant.id, first, ground.oldestVersion)
      await fillZoo(pool, neighbour.id, 5_000 + first, ground.oldestVersion)
      const beside = await exactContent(pool, neighbour.id)

      await moveStirred(t, tenant, 'eu', changeStream, first)
      t.same(await exactContent(pool, tenant.id), {}, 'nothing is left in the pool')
      t.same(await exactContent(pool, neighbour.id), beside, "the neighbour's rows are as they were")
      await moveStirred(t, await ground.catalog.tenants.get(tenant.id), 'us', changeStream, first + 100)
    },
  )
}
