import type { ChangeStreamChoice } from '@freehold/contract'
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
import { faultNamed } from './faults.ts'
import { runCase } from './kill-matrix.ts'

// Each move here is struck at one barrier after the other. `npm run chaos -- --matrix` has a move for every barrier
// with every fault.

// Several minutes of a machine that has nothing else to do.
t.setTimeout(900_000)

t.test('the list of barriers is that of the code', async (t) => {
  t.same(barriersInTheCode(), [...barrierNames].sort())
})

t.test('whatever is killed or cut off, a move is made or it is not', async (t) => {
  const ground: FaultGround = await prepareFaultGround()
  t.teardown(() => ground.remove())

  const ways = [
    'move',
    'cancelled_move',
    'move_with_window',
    'move_rolled_back',
    'move_not_to_be_rolled_back',
  ] as const satisfies readonly Way[]
  for (const way of ways) {
    const passed = barrierNames.filter((name) => barriers[name] === way)
    // A copy is not begun for ever, nor is a verification.
    const cuts = (['backfill.copied', 'cutover.entered'] as const)
      .map((name) => passed.indexOf(name))
      .filter((index) => index > 0)
    for (const [index, begin] of [0, ...cuts].entries()) {
      await struck(t, at(passed.slice(begin, cuts[index]), 'worker killed'))
    }
  }

  // The way back by triggers: from where it is made to each of its ends.
  for (const way of ['move_with_window', 'move_rolled_back', 'move_not_to_be_rolled_back'] as const) {
    const passed = barrierNames.filter((name) => barriers[name] === way)
    await struck(t, at(passed, 'worker killed'), 'triggers')
  }
  await struck(t, at(['rolling_back.called_off'], 'worker killed'), 'triggers')
  await struck(t, at(['ready.begun', 'cutover.sealed', 'soak.applying'], 'target killed'), 'triggers')
  await struck(t, at(['soak.applying', 'soak.applied'], 'source killed', 'source cut off'), 'triggers')

  // Repaired, rows do not differ for the next worker; called off once, a switch is not called off again.
  await struck(t, at(['verify.repair_begun', 'verify.repaired'], 'worker killed'))
  for (const name of [
    'verify.rewritten',
    'cutover.unfenced',
    'cutover.withdrawn',
    'rolling_back.called_off',
  ] as const) {
    await struck(t, at([name], 'worker killed'))
  }

  await struck(
    t,
    at(
      [
        'rolling_back.verified',
        'cutover.intended',
        'cutover.fenced',
        'cutover.sealed',
        'rolling_back.released',
      ],
      'worker killed',
    ),
  )

  for (const name of ['source killed', 'target killed', 'catalog killed']) {
    await struck(t, at(['cutover.fenced', 'cutover.sealed', 'cutover.home_switched'], name))
  }
  await struck(t, at(['cutover.fenced', 'cutover.sealed'], 'queue killed'))

  const cuts = ['source cut off', 'target cut off', 'catalog cut off', 'queue cut off']
  await struck(t, at(criticalBarriers, ...cuts))
  await struck(t, [
    ['cutover.intended', 'source cut off from the switch'],
    ['cutover.fenced', 'source cut off from the stream'],
    ['cutover.fenced', 'target cut off from the applier'],
    ['cutover.fenced', 'source cut off from the holder of the lock'],
    ['cutover.drained', 'source cut off from the switch'],
    ['cutover.frozen', 'target cut off from the switch'],
  ])
  await struck(t, [
    ['cutover.sealed', 'target vanished for good'],
    ['cutover.frozen', 'catalog vanished for good'],
    ['cutover.home_switched', 'source vanished for good'],
  ])
  await struck(t, [['cutover.sealed', 'target unreachable']])
  await struck(
    t,
    at(['verify.entered', 'cutover.fenced', 'cutover.sealed'], 'clock set forward', 'clock set back'),
  )

  async function struck(
    t: Test,
    strikes: readonly (readonly [Barrier, string])[],
    by: ChangeStreamChoice = 'auto',
  ): Promise<void> {
    const { problems, move, ...figures } = await runCase(
      ground,
      strikes.map(([at, name]) => ({ at, fault: faultNamed(name) })),
      by,
    )
    const told = `${strikes.map(([at, name]) => `${name} at ${at}`).join(', ')}, by ${by}`
    t.same(problems, [], `${told}: ${move.phase}`, {
      ...figures,
      timeline: move.events.map(({ phase, message }) => `${phase}: ${message}`),
      worker: ground.worker.log,
    })
  }
})

/** Strikes at each barrier with the next of the faults. */
function at(names: readonly Barrier[], ...faults: readonly string[]): [Barrier, string][] {
  return names.map((name, index) => [name, faults[index % faults.length] ?? ''])
}
