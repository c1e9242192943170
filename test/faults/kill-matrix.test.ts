import t, { type Test } from 'tap'
import {
  type Barrier,
  barrierNames,
  barriers,
  barriersInTheCode,
  criticalBarriers,
  type Way,
} from './barriers.ts'
import { type FaultGround, prepareFaultGround } from './fault-ground.ts'
import { type Fault, faultNamed } from './faults.ts'
import { runCase } from './kill-matrix.ts'

// Each move here is struck at one barrier after the other. `npm run chaos -- --matrix` has a move for every barrier
// with every fault.

t.test('the list of barriers is that of the code', async (t) => {
  t.same(barriersInTheCode(), [...barrierNames].sort())
})

t.test('whatever is killed or cut off, a move is made or it is not', async (t) => {
  const ground: FaultGround = await prepareFaultGround()
  t.teardown(() => ground.remove())

  const workerKilled = faultNamed('worker killed')
  const ways = ['move', 'move_from_schema', 'cancelled_move'] as const satisfies readonly Way[]
  for (const way of ways) {
    const passed = barrierNames.filter((name) => barriers[name] === way)
    const switching = passed.indexOf('cutover.entered')
    for (const half of switching < 0 ? [passed] : [passed.slice(0, switching), passed.slice(switching)]) {
      await struck(t, half, workerKilled)
    }
  }
  await struck(t, ['provisioning.retargeted'], workerKilled)

  for (const name of ['source killed', 'target killed', 'catalog killed', 'queue killed']) {
    await struck(t, criticalBarriers, faultNamed(name))
  }
  for (const name of ['source cut off', 'target cut off', 'catalog cut off', 'queue cut off']) {
    await struck(t, criticalBarriers, faultNamed(name))
  }
  for (const name of ['clock set forward', 'clock set back']) {
    await struck(t, ['verify.entered', 'cutover.fenced', 'cutover.sealed'], faultNamed(name))
  }
  for (const name of ['source vanished for good', 'target vanished for good', 'catalog vanished for good']) {
    await struck(t, ['cutover.sealed'], faultNamed(name))
  }

  async function struck(t: Test, at: readonly Barrier[], fault: Fault): Promise<void> {
    const { problems, move, ...figures } = await runCase(
      ground,
      at.map((barrier) => ({ at: barrier, fault })),
    )
    t.same(problems, [], `${fault.name} at ${at.join(', ')}: ${move.phase}`, {
      ...figures,
      timeline: move.events.map(({ phase, message }) => `${phase}: ${message}`),
      worker: ground.worker.log,
    })
  }
})
