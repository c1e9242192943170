import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { runDemo } from '../demo/run-demo.ts'

/**
 * The demo, with its proof by the client's own ledger, while the worker is killed by SIGKILL at a durable write and
 * started again a while later: the move ends by itself, moved or unmoved, and nothing is lost.
 */
const KILLS = [{ at: 'cutover.sealed', phase: 'completed' }] as const

const folder = await mkdtemp(join(tmpdir(), 'freehold-killed-'))
t.teardown(() => rm(folder, { recursive: true }))

for (const { at, phase } of KILLS) {
  t.test(`a worker killed at ${at}`, async (t) => {
    const mark = join(folder, at)
    const { problems, move, traffic, proof } = await runDemo({
      rows: 20_000,
      seconds: 1,
      signal: AbortSignal.timeout(120_000),
      observer: { step() {}, event() {}, progress() {}, traffic() {} },
      stack: {
        worker: {
          entry: new URL('./killed-worker.ts', import.meta.url),
          env: { KILL_AT: at, KILL_MARK: mark, FREEHOLD_LEASE_MS: '1500', FREEHOLD_FENCE_EXPIRY_MS: '2000' },
        },
      },
      async duringMove({ stack }) {
        while (!existsSync(mark)) await sleep(20)
        await stack.worker.restart()
      },
    })
    t.same(problems, [], 'the proof holds')
    t.equal(move.phase, phase)
    t.ok(traffic.writesAcknowledged > 100)
    t.match(proof, { writesLost: 0, writesDuplicated: 0, foreignRows: 0 })
  })
}
