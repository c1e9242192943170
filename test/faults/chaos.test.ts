import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { readArguments } from './chaos-arguments.ts'

const main = fileURLToPath(new URL('chaos.ts', import.meta.url))

/** Runs `npm run chaos` as a process of its own, which ends with this one. */
async function chaos(...args: readonly string[]): Promise<{ code: number | null; told: string }> {
  const child = spawn(process.execPath, ['--conditions=@freehold/source', main, ...args], {
    env: { ...process.env, npm_lifecycle_event: 'chaos' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const told = await text(child.stdout)
  return { code: await exited, told }
}

t.test('moves and faults at random leave every invariant as it was', async (t) => {
  const { code, told } = await chaos('--minutes', '0.2', '--seed', '20261121')
  t.equal(code, 0, told)
  t.match(told, /[1-9]\d* moves made .*every invariant held/)
})

t.test('each kind of run comes to its end', async (t) => {
  const runs = [
    [['--matrix', '--in-turn', '--strikes', '2', '--fault', 'cut off', '--at', 'finalize.left'], 2],
    [['--pairs', '--seed', '1', '--only', 'pool in us to pool in eu by logical, rolled back'], 3],
    [['--schema-changes', '--jobs', '2', '--only', 'a renamed column at verify.entered'], 2],
  ] as const
  for (const [args, cases] of runs) {
    const { code, told } = await chaos(...args)
    t.equal(code, 0, told)
    t.match(told, `${cases} of ${cases} as they must be`)
  }
})

t.test('what does not exist is not all right', async (t) => {
  const { code, told } = await chaos('--pairs', '--seed', '1', '--only', 'nowhere')
  t.equal(code, 1)
  t.match(told, '0 of 0')
})

t.test('wrong options are refused', async (t) => {
  for (const args of [
    ['--minutes', '0'],
    ['--seed', '-1'],
    ['--fault', 'source killed'],
    ['--strikes', '2'],
    ['--in-turn'],
    ['--matrix', '--fault', 'cut off'],
    ['--matrix', '--in-turn', '--fault', 'source cut off'],
    ['--matrix', '--strikes', '0'],
    ['--matrix', '--at', 'nowhere'],
    ['--matrix', '--by', 'auto'],
    ['--by', 'triggers'],
    ['--matrix', '--seed', '1'],
    ['--pairs', '--minutes', '1'],
    ['--pairs', '--matrix'],
    ['--matrix', '--only', 'worker killed'],
    ['--minutes', '1', '--jobs', '2'],
    ['--pairs', '--jobs', '0'],
    ['soon'],
  ]) {
    t.throws(() => readArguments(args), TypeError, args.join(' '))
  }
  t.match(readArguments(['--minutes', '2.5', '--seed', '7']), { minutes: 2.5, seed: 7 })
})
