import { type Isolation, moveTargetSchema } from '@freehold/contract'
import t from 'tap'
import { type MovingGround, prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { contentAt, copyOfTenant, databaseOf, remainsOf } from '../../../test/kit/tenant-places.ts'
import { startTenantWriter } from '../../../test/kit/tenant-writer.ts'

const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())

/** One tenant goes every way there is, and back to where it began. */
const JOURNEY: readonly [region: 'us' | 'eu', isolation: Isolation][] = [
  ['eu', 'pool'],
  ['eu', 'schema'],
  ['us', 'schema'],
  ['us', 'pool'],
  ['eu', 'silo'],
  ['us', 'silo'],
  ['eu', 'schema'],
  ['us', 'silo'],
  ['us', 'pool'],
]

t.test('a tenant moves from every kind of place to every kind, and nobody else notices', async (t) => {
  const tenant = await ground.tenant('traveller', 600)
  // Others whose rows have the same keys but for the tenant, in both pools.
  const twins = await Promise.all([copyOfTenant(ground, tenant, 'us'), copyOfTenant(ground, tenant, 'eu')])
  const twinsContent = () => Promise.all(twins.map(({ id, placement }) => contentAt(ground, id, placement)))
  const before = await twinsContent()
  t.ok(
    before.every((content) => Object.keys(content).length >= 5),
    'every kind of table has rows',
  )

  const reader = ground.us.as('freehold_reader', 'freehold_catalog')
  const writer = startTenantWriter(reader, tenant, 2, { writesPerSecond: 200 })
  for (const [region, isolation] of JOURNEY) {
    const { placement: from } = await ground.catalog.tenants.get(tenant.id)
    await t.test(`${from.isolation} in ${from.region} to ${isolation} in ${region}`, async (t) => {
      const move = await ground.startMove(tenant, moveTargetSchema.parse({ isolation, region }))
      const sides: Record<string, string[]>[] = []
      const engine = ground.engine({
        barrier: async (name) => {
          if (name !== 'cutover.retired') return
          // The source is left and the target not yet open: whatever the writers have written is on both.
          const { to } = await ground.catalog.moves.get(move.id)
          sides.push(await contentAt(ground, tenant.id, from), await contentAt(ground, tenant.id, to))
        },
      })
      engine.start()
      const ended = await ground.ended(move.id)
      await engine.stop()

      t.equal(ended.phase, 'completed', {
        timeline: ended.events.map(({ phase, message }) => `${phase}: ${message}`),
      })
      t.match(ended.to, { isolation, region, epoch: from.epoch + 1 })
      t.match((await ground.catalog.tenants.get(tenant.id)).placement, { ...ended.to })
      t.same(sides[0], sides[1], 'both sides were equal when the home changed')
      t.ok((sides[1]?.orders?.length ?? 0) >= 600)
      t.same(await remainsOf(ground, tenant.id, from), [], 'nothing is left where it was')
    })
  }
  const report = await writer.stop()
  t.comment(`${report.acknowledged} writes, longest pause ${report.longestPauseMs.toFixed(1)} ms`)
  t.same(report.failures, [], 'no write failed')
  t.ok(report.acknowledged > 200, 'the tenant was written to all the time')
  const home = await ground.catalog.placements.home(tenant.id)
  t.same(
    await report.differences(databaseOf(ground, home), home.schema),
    [],
    'every acknowledged write is there, once',
  )
  t.same(await twinsContent(), before, 'the others have what they had')
  const { clusters } = await ground.catalog.topology.read()
  t.same(
    clusters.map(({ silos }) => silos),
    [0, 0],
    'a silo that was left is no silo any more',
  )
})
