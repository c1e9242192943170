import { isFreeholdError } from '@freehold/contract'
import t from 'tap'
import { startProcess } from '../src/child-process.ts'
import { isRunning, startVictim, within } from './support.ts'

const entry = new URL('./fixtures/child.ts', import.meta.url)
const ready = /^ready on port (\d+)$/

t.test('a process is ready when it says so, and stops when asked', async (t) => {
  process.env.FREEHOLD_TEST_SECRET = 'visible'
  const lines: string[] = []
  const child = await startProcess({ name: 'demo', entry, env: {}, ready, log: (line) => lines.push(line) })
  t.equal(child.readyMatch[1], '1234')
  t.ok(isRunning(child.pid))
  t.strictSame(lines, [
    '[demo] conditions --conditions=@freehold/source',
    '[demo] secret of the parent: not seen',
    '[demo] ready on port 1234',
  ])
  t.strictSame(await child.stop(), { code: 0, signal: null })
  t.strictSame(await child.stop(), { code: 0, signal: null }, 'stopping twice is harmless')
  t.notOk(isRunning(child.pid))
})

t.test('a kill is a SIGKILL', async (t) => {
  const child = await startProcess({ name: 'demo', entry, env: { MODE: 'stubborn' }, ready })
  t.strictSame(await child.kill(), { code: null, signal: 'SIGKILL' })
})

t.test('a process that ends before it is ready is an error with its last lines', async (t) => {
  const error = await startProcess({ name: 'demo', entry, env: { MODE: 'fails' }, ready }).catch((e) => e)
  t.ok(isFreeholdError(error, 'stack_start_failed'))
  t.match(error.message, /process demo ended before it was ready, with exit status 3\..*the reason why/s)
})

t.test('a process that is not ready in time is named, with how long it was waited for', async (t) => {
  const error = await startProcess({ name: 'demo', entry, env: {}, ready, patienceMs: 1 }).catch((e) => e)
  t.ok(isFreeholdError(error, 'stack_start_failed'))
  t.match(error.message, /^The process demo was waited for 0\.001 s and is not ready\. .* start again/)
  t.match(error.message, /\nIt has written nothing\.$/)
})

t.test('no process outlives a parent that was killed', async (t) => {
  for (const [mode, patience] of [
    ['willing', 2_000],
    ['stubborn', 8_000],
  ] as const) {
    const { process: parent, said } = await startVictim('hold-child.ts', mode)
    const pid = Number(said.pid)
    t.ok(isRunning(pid))
    parent.kill('SIGKILL')
    t.ok(await within(patience, () => !isRunning(pid)), `${mode} is gone`)
  }
})
