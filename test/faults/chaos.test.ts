import t from 'tap'
import { readArguments } from './chaos-arguments.ts'
import { prepareFaultGround } from './fault-ground.ts'
import { runChaos } from './random-chaos.ts'

t.test('moves and faults at random leave every invariant as it was', async (t) => {
  const ground = await prepareFaultGround()
  t.teardown(() => ground.remove())
  const steps: string[] = []
  const { problems, ...total } = await runChaos(ground, {
    seed: 20_261_121,
    durationMs: 12_000,
    tell: (line) => steps.push(line),
    signal: AbortSignal.timeout(240_000),
  })
  t.same(problems, [], 'what was moved or not', { ...total, steps })
  t.ok(total.rounds > 0 && total.moved + total.unmoved > 0, 'there were moves')
})

t.test('wrong options are refused', async (t) => {
  for (const args of [
    ['--minutes', '0'],
    ['--seed', '-1'],
    ['--fault', 'source killed'],
    ['--matrix', '--at', 'nowhere'],
    ['--matrix', '--seed', '1'],
    ['--pairs', '--minutes', '1'],
    ['--pairs', '--matrix'],
    ['soon'],
  ]) {
    t.throws(() => readArguments(args), TypeError, args.join(' '))
  }
  t.match(readArguments(['--minutes', '2.5', '--seed', '7']), { minutes: 2.5, seed: 7 })
})
