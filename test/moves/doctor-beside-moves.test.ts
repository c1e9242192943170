import { diagnose } from '@freehold/doctor'
import t from 'tap'
import { prepareMovingGround } from '../kit/moving-ground.ts'
import { until } from '../kit/until.ts'

/** What a move needs is not what a move has left behind. */
const ground = await prepareMovingGround()
t.teardown(() => ground.remove())
t.setTimeout(300_000)

const LOOKED_AT = ['dual_write.created', 'verify.entered', 'ready.entered', 'soak.entered']

for (const changeStream of ['logical', 'triggers'] as const) {
  t.test(`the doctor finds nothing left of a move that is under way, by ${changeStream}`, async (t) => {
    const tenant = await ground.tenant(`examined-${changeStream}`, 10)
    const move = await ground.startMove(tenant, undefined, changeStream, {}, 600)
    const home = ground.us.as('freehold_owner', 'pool')
    const target = ground.eu.as('freehold_owner', move.to.database)
    const found: unknown[] = []
    let looks = 0
    const look = async (database: typeof home) => {
      const { findings } = await diagnose(database, { trial: false })
      found.push(...findings.filter(({ check }) => check === 'freehold-leftovers'))
      looks++
    }
    const engine = ground.engine({
      barrier: async (name) => {
        if (!LOOKED_AT.includes(name)) return
        await look(home)
        await look(target)
      },
    })
    engine.start()
    t.teardown(() => engine.stop())
    await until(() => looks === 2 * LOOKED_AT.length, 'all looks')
    t.same(found, [])
  })
}
