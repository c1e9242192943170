import { setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { type DemoOptions, runDemo } from '../demo/run-demo.ts'
import { startTestRedis } from '../kit/redis.ts'

/** I7: losing the queue, and everything in it, in the middle of a move loses nothing. */
const demo = {
  rows: 20_000,
  seconds: 1,
  signal: AbortSignal.timeout(240_000),
  observer: { step() {}, event() {}, progress() {}, traffic() {} },
} satisfies DemoOptions

t.test('Redis is wiped and gone while a move runs', async (t) => {
  const redis = await startTestRedis()
  t.teardown(() => redis.remove())
  const { problems, move } = await runDemo({
    ...demo,
    stack: { redisUrl: redis.url },
    async duringMove({ stack }) {
      await redis.command('FLUSHALL')
      await redis.kill()
      // The worker that held the move is gone as well: nobody remembers it but the catalog.
      await stack.worker.kill()
      await stack.worker.restart()
      await sleep(500)
      await redis.start()
    },
  })
  t.same(problems, [], 'the proof holds')
  t.equal(move.phase, 'completed')
})

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
