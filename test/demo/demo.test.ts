import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ControlClient } from '../kit/control-client.ts'
import { processesOf } from '../kit/processes.ts'
import { readArguments } from './arguments.ts'
import { demoReportSchema } from './demo-report.ts'
import { runDemo } from './run-demo.ts'

const temporary = await mkdtemp(join(tmpdir(), 'freehold-demo-test-'))
await chmod(temporary, 0o755)
t.teardown(() => rm(temporary, { recursive: true }))

/** Runs what `npm run demo` runs. */
function launch(...args: string[]) {
  const program = fileURLToPath(new URL('./demo.ts', import.meta.url))
  const child = spawn(process.execPath, ['--conditions=@freehold/source', program, ...args], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.stderr += text
  })
  return { child, said, exited: once(child, 'close').then(([code]) => code) }
}

t.test('a tenant moves under traffic, and the clients prove that nothing was lost', async (t) => {
  const { said, exited } = launch('--rows', '5000', '--seconds', '2', '--json')
  const status = await exited
  if (status !== 0) t.comment(said.stderr)
  t.equal(status, 0)

  const lines = said.stdout.trimEnd().split('\n')
  t.equal(lines.length, 1, 'stdout is the report and nothing else')
  const report = demoReportSchema.parse(JSON.parse(lines[0] ?? ''))
  t.match(report, {
    ok: true,
    moves: [{ tenant: 'acme', from: 'us-1/pool', to: /^eu-1\/silo_acme_/ }],
    traffic: { failed: 0, writesLost: 0, writesDuplicated: 0, foreignRows: 0 },
  })
  t.ok(report.moves.every(({ rows, bytes, seconds }) => rows >= 4_500 && bytes > 0 && seconds.total > 0))
  t.ok(report.traffic.requests > 400 && report.traffic.writesAcknowledged > 200)
  for (const phase of ['provisioning', 'dual_write', 'backfill', 'verify', 'cutover', 'completed']) {
    t.match(said.stderr, new RegExp(`acme {2}${phase}`), `${phase} is shown`)
  }
  t.match(said.stderr, /The proof holds/)
  t.strictSame(await readdir(temporary), [], 'no temporary files are left')
})

t.test('Ctrl-C in the middle stops and removes everything', async (t) => {
  const { child, said, exited } = launch('--rows', '1000')
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.includes('requests/s')) break
  }
  child.kill('SIGINT')
  t.equal(await exited, 130)
  t.match(said.stderr, /^Interrupted\./)
  t.strictSame(processesOf(temporary), [])
  t.strictSame(await readdir(temporary), [])
})

t.test('wrong options are refused before anything is done', async (t) => {
  for (const args of [['--rows', 'many'], ['--rows', '3'], ['--seconds', '0'], ['--row'], ['surplus']]) {
    t.throws(() => readArguments(args), args.join(' '))
  }
  const { said, exited } = launch('--rows', 'many')
  t.equal(await exited, 2)
  t.match(said.stderr, /^--rows: .*npm run demo -- \[options\]/s)
})

t.test('a move that is given up is not ok, and the report says why', async (t) => {
  const { report, problems, move } = await runDemo({
    rows: 2_000,
    seconds: 1,
    signal: new AbortController().signal,
    observer: { step() {}, event() {}, progress() {}, traffic() {} },
    async duringMove({ stack, moveId }) {
      const control = new ControlClient(stack.urls.controlApi, stack.operatorToken())
      await control.cancelMove(moveId)
    },
  })
  t.equal(move.phase, 'aborted')
  t.equal(report.ok, false)
  t.match(problems, [/^The move was given up \(move_cancelled\)/])
  t.match(report.traffic, { failed: 0, writesLost: 0, writesDuplicated: 0, foreignRows: 0 })
})
