import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type OperationId, operationIdSchema } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { startTestRedis } from '../../../test/kit/redis.ts'
import { until } from '../../../test/kit/until.ts'
import { openQueue, type QueueLocation, receiveNudges } from '../src/queue.ts'

/** A queue's server, which can go away and come back. */
interface Server {
  readonly location: QueueLocation
  away(): Promise<void>
  back(): Promise<void>
  /** Everything that it holds, as text. */
  contents(): Promise<string>
}

const backends: Record<string, (t: Test) => Promise<Server>> = {
  async PostgreSQL(t) {
    const on = await startPreparedCluster('queue')
    t.teardown(() => on.cluster.remove())
    const asRoot = (sql: string, database = 'postgres') =>
      withClient(asSuperuser(on.cluster, database), 'test', (client) => client.query(sql))
    await asRoot('create database queue owner freehold_control')
    const { host, port } = on.cluster
    return {
      location: {
        databaseUrl: `postgres://freehold_control:${on.passwords.freehold_control}@${host}:${port}/queue?sslmode=disable`,
      },
      async away() {
        await asRoot('alter database queue allow_connections false')
        await asRoot("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'queue'")
      },
      async back() {
        await asRoot('alter database queue allow_connections true')
      },
      async contents() {
        const jobs = await asRoot('select to_jsonb(job) as job from bullmq.job', 'queue')
        return JSON.stringify(jobs.rows)
      },
    }
  },
  async Redis(t) {
    const redis = await startTestRedis()
    t.teardown(() => redis.remove())
    return {
      location: { redisUrl: redis.url },
      away: () => redis.kill(),
      back: () => redis.start(),
      contents: () =>
        redis.command(
          `EVAL "local out = {} for _, key in ipairs(redis.call('keys', '*:freehold-operations:[0-9]*')) do table.insert(out, table.concat(redis.call('hgetall', key), ' ')) end return table.concat(out, '; ')" 0`,
        ),
    }
  },
}

for (const [name, start] of Object.entries(backends)) {
  t.test(name, async (t) => {
    const server = await start(t)
    const warnings: string[] = []
    const logger = {
      info: () => undefined,
      warn: (fields: object, message: string) => void warnings.push(`${message} ${JSON.stringify(fields)}`),
    }
    const open = () => openQueue(server.location, logger)

    function receive(): { heard: OperationId[]; close(): Promise<void> } {
      const heard: OperationId[] = []
      return { heard, ...receiveNudges(server.location, logger, (id) => void heard.push(id)) }
    }

    t.test('a nudge reaches whoever receives, and another one does so again', async (t) => {
      const [queue, receiver, id] = [open(), receive(), newId()]
      for (let round = 1; round <= 3; round++) {
        await queue.nudge(id)
        await until(() => receiver.heard.length === round)
      }
      t.same(receiver.heard, [id, id, id])
      await Promise.all([queue.close(), receiver.close()])
    })

    t.test('nudges that nobody has taken yet are one, and say nothing but whom they are for', async (t) => {
      const [queue, first, second] = [open(), newId(), newId()]
      await Promise.all([first, first, second, first, second].map((id) => queue.nudge(id)))
      t.match(await server.contents(), first)
      const receiver = receive()
      await until(() => receiver.heard.length >= 2)
      await sleep(200)
      t.same(receiver.heard.toSorted(), [first, second].toSorted())
      await Promise.all([queue.close(), receiver.close()])
      t.notMatch(await server.contents(), first, 'what has been delivered is gone')
    })

    t.test(
      'a queue that is away delays nothing and breaks nothing, and is used again when it is back',
      async (t) => {
        const [queue, receiver, id] = [open(), receive(), newId()]
        await queue.nudge(id)
        await until(() => receiver.heard.length === 1)
        await server.away()
        warnings.length = 0
        const asked = performance.now()
        await queue.nudge(newId())
        t.ok(performance.now() - asked < 2_000)
        t.match(warnings.join('\n'), /queue not reached/)
        const late = { queue: open(), receiver: receive() }
        await late.queue.nudge(newId())
        await server.back()
        for (const [sender, heard] of [
          [queue, receiver.heard],
          [late.queue, late.receiver.heard],
          [queue, late.receiver.heard],
        ] as const) {
          const wanted = newId()
          await until(async () => {
            await sender.nudge(wanted)
            return receiver.heard.includes(wanted) || heard.includes(wanted)
          })
        }
        t.notMatch(warnings.join('\n'), /freehold_control:/, 'no log holds a password')
        await Promise.all([queue.close(), receiver.close(), late.queue.close(), late.receiver.close()])
      },
    )

    t.test('closing does not wait for a queue that is away', async () => {
      await server.away()
      const [queue, receiver] = [open(), receive()]
      await queue.nudge(newId())
      await Promise.all([queue.close(), receiver.close()])
      await server.back()
    })
  })
}

function newId(): OperationId {
  return operationIdSchema.parse(randomUUID())
}

t.end()
