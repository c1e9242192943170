import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { type DemoOptions, runDemo } from '../demo/run-demo.ts'
import { startTestRedis } from '../kit/redis.ts'

/**
 * I7: losing the queue, and everything in it, in the middle of a move loses nothing; nor does losing the worker with it. The
 * demo proves that by the client's own ledger.
 */
const demo = {
  rows: 20_000,
  seconds: 1,
  signal: AbortSignal.timeout(240_000),
  observer: { step() {}, event() {}, progress() {}, traffic() {} },
} satisfies DemoOptions

t.test(
  'Redis is wiped and gone, and the worker killed, as a move is past the point of no return',
  async (t) => {
    const redis = await startTestRedis()
    t.teardown(() => redis.remove())
    const folder = await mkdtemp(join(tmpdir(), 'freehold-killed-'))
    t.teardown(() => rm(folder, { recursive: true }))
    const mark = join(folder, 'mark')
    const { problems, move, traffic, proof } = await runDemo({
      ...demo,
      stack: {
        redisUrl: redis.url,
        worker: {
          entry: new URL('./killed-worker.ts', import.meta.url),
          env: {
            KILL_AT: 'cutover.sealed',
            KILL_MARK: mark,
            FREEHOLD_LEASE_MS: '1500',
            FREEHOLD_FENCE_EXPIRY_MS: '2000',
          },
        },
      },
      async duringMove({ stack }) {
        while (!existsSync(mark)) await sleep(20)
        // Nobody remembers the move but the catalog.
        await redis.command('FLUSHALL')
        await redis.kill()
        await stack.worker.restart()
        await sleep(500)
        await redis.start()
      },
    })
    t.same(problems, [], 'the proof holds')
    t.equal(move.phase, 'completed')
    t.ok(traffic.writesAcknowledged > 100)
    t.match(proof, { writesLost: 0, writesDuplicated: 0, foreignRows: 0 })
  },
)

t.test('the queue in PostgreSQL is wiped while a move runs', async (t) => {
  const { problems, move } = await runDemo({
    ...demo,
    async duringMove({ stack }) {
      await withClient(stack.superuserAddress('us-1', 'freehold_queue'), 'test', async (client) => {
        const schemas = await client.query<{ name: string }>(
          "select quote_ident(nspname) as name from pg_namespace where nspname not like 'pg\\_%' and nspname not in ('public', 'information_schema')",
        )
        t.ok(schemas.rows.length > 0, 'there is a queue to wipe')
        for (const { name } of schemas.rows) await client.query(`drop schema ${name} cascade`)
      })
    },
  })
  t.same(problems, [], 'the proof holds')
  t.equal(move.phase, 'completed')
})
