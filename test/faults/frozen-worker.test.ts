import t from 'tap'
import { contentAtHome, examineTenant, leftBehind } from './examine.ts'
import { prepareFaultGround } from './fault-ground.ts'

// A worker whose process is stopped dies to nobody's knowledge: its connections stay open and its timers stand still. Nobody
// takes its place here, so what ends the outage is the servers' doing alone.

const REACHED_WITHIN_MS = 45_000
const WRITTEN_WITHIN_MS = 15_000
const ENDED_WITHIN_MS = 60_000

const ground = await prepareFaultGround()
t.teardown(() => ground.remove())
const { worker, catalog } = ground

for (const barrier of ['cutover.fenced', 'cutover.drained']) {
  t.test(`writers go on while a worker is frozen at ${barrier}`, async (t) => {
    const tenant = await ground.tenant(barrier.replace('.', '-'), 60)
    const content = await contentAtHome(ground, tenant)
    const writer = ground.startWriter(tenant)
    const stands = await worker.stopAt(barrier)
    const move = await ground.startMove(tenant)
    t.ok(await stands(REACHED_WITHIN_MS), barrier)
    worker.freeze()
    t.ok(await writer.goesOn(WRITTEN_WITHIN_MS), 'at their old home')
    t.match(await catalog.moves.detail(move.id), { phase: 'cutover', finishedAt: null })

    worker.thaw()
    worker.goOn()
    const ended = await ground.ended(move, ENDED_WITHIN_MS)
    const report = await writer.stop()
    t.equal(ended.phase, 'completed', { timeline: ended.events.map(({ message }) => message) })
    t.ok(ended.progress.cutoverAttempts > 1, 'what it had begun could not be sealed any more')
    t.same(report.failures, [], 'no write failed')
    t.same(await examineTenant(ground, tenant, ended, content, report), [])
    t.same(await leftBehind(ground), [], 'nothing is left behind')
  })
}
