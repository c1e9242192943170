import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openRunFolder } from '../lib/leftovers.ts'
import { TapReport } from '../lib/tap-report.ts'

function report(tap: string): { tally: object; printed: string[] } {
  const printed: string[] = []
  const reader = new TapReport((line) => printed.push(line))
  for (const line of tap.split('\n')) reader.line(line)
  return { tally: reader.tally, printed }
}

const TAP = String.raw`TAP version 14
1..5
# Subtest: a.test.ts
    # Subtest: one
        not ok 1 - bad \# hash
          ---
          compare: ===
          source: |
            ok 1 - this is not a test point
          ...
${'        '}
        ok 2 - should be equal
        not ok 3 - later # TODO
        ok 4 - skipped one # SKIP why
    said by the test
        1..4
    not ok 1 - one # time=49.959ms
      ---
      at:
        lineNumber: 2
      ...

    # Subtest: two
        # Subtest: inner
            ok 1 - x
            1..1
        ok 1 - inner # time=1.155ms
        1..1
    ok 2 - two # time=7.78ms

    ok 3 - not on this machine # SKIP no root
    1..3
    # time=92.702ms
not ok 1 - a.test.ts # time=92.702ms
  ---
  exitCode: 1
  ...

# Subtest: crashed.test.ts
    1..0 # no tests found
not ok 2 - crashed.test.ts # time=184.51ms
  ---
  exitCode: 1
  ...

# Subtest: plan.test.ts
    # Subtest: ended early
        ok 1 - should be equal
        1..2
        # test count(1) != plan(2)
    not ok 1 - ended early # time=3ms
    1..1
not ok 3 - plan.test.ts # time=58.389ms

# Subtest: empty.test.ts
    1..0 # no tests found
ok 4 - empty.test.ts # SKIP no tests found

# Subtest: elsewhere.test.ts
    1..0 # not on this machine
ok 5 - elsewhere.test.ts # SKIP not on this machine

# { total: 13, pass: 4, fail: 5, todo: 1, skip: 3 }
`

t.test('assertions are counted, and what failed without one of them', async (t) => {
  const { tally, printed } = report(TAP)
  t.strictSame(tally, { passed: 3, failed: 4, skipped: 3 })
  t.strictSame(printed, [
    '\na.test.ts',
    String.raw`  FAILED  one > bad \# hash`,
    '              compare: ===',
    '              source: |',
    '                ok 1 - this is not a test point',
    '  todo  one > later',
    '  skip  one > skipped one',
    '    said by the test',
    '  ok  two (7.78ms)',
    '  skip  not on this machine',
    '\ncrashed.test.ts',
    '  FAILED  crashed.test.ts',
    '\nplan.test.ts',
    '  FAILED  ended early',
    '\nempty.test.ts',
    '  FAILED  empty.test.ts: there is no test in it',
    '\nelsewhere.test.ts',
  ])
})

t.test('a run in which no test ran has failed', async (t) => {
  const script = fileURLToPath(new URL('../test.ts', import.meta.url))
  const result = spawnSync(process.execPath, [script, 'no/such/test'], { encoding: 'utf8' })
  t.match(result.stdout, /no test file matches no\/such\/test\n\n0 passed, 1 failed\n$/)
  t.equal(result.status, 1)
})

t.test('processes and files that a run leaves behind are found and removed', async (t) => {
  const folder = await openRunFolder()
  await mkdir(join(folder.path, 'freehold-forgotten'))
  await mkdir(join(folder.path, 'node-compile-cache'))
  const left = spawn('sleep', ['600'], { env: { TMPDIR: folder.path }, stdio: 'ignore' })
  const exited = new Promise((resolve) => left.once('exit', (_code, signal) => resolve(signal)))
  t.match(await folder.close(), [`process ${left.pid}: sleep 600`, 'temporary files: freehold-forgotten'])
  t.equal(await exited, 'SIGKILL')
  t.notOk(existsSync(folder.path))
})
