import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '@freehold/postgres'
import { from, to } from 'pg-copy-streams'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { RowBatches } from '../src/copy/row-batches.ts'
import { KeptConnections } from '../src/kept-connections.ts'
import { ReplicationStream } from '../src/stream/replication-stream.ts'
import { RateLimit } from '../src/throttle/rate-limit.ts'
import { type CopyFormat, RowCounter } from '../src/throttle/row-counter.ts'
import { overload, readLoad } from '../src/throttle/server-load.ts'
import { Throttle } from '../src/throttle/throttle.ts'

t.test('rows pass at the rate that is set, whoever passes them', async (t) => {
  const limit = new RateLimit(1_000)
  t.equal(limit.delay(100, 0), 100)
  t.equal(limit.delay(100, 0), 200, 'the second waits for the first as well')
  t.equal(limit.delay(0, 150), 50)
  t.equal(limit.delay(500, 10_000), 500, 'time that nobody used is not saved up')
})

t.test('a load is too much beyond its limit, and the reason says what and where', async (t) => {
  const calm = { activeSessions: 32, standbyLagSeconds: 10 }
  const limits = { activeSessions: 32, standbyLagSeconds: 10 }
  t.equal(overload('source', calm, limits), undefined)
  t.equal(
    overload('source', { ...calm, activeSessions: 40 }, limits),
    'source has 40 active sessions, limit 32',
  )
  t.equal(
    overload('target', { ...calm, standbyLagSeconds: 12.34 }, limits),
    'a standby of the target lags by 12.3 s, limit 10 s',
  )
  const busy = { activeSessions: 1e6, standbyLagSeconds: 1e6 }
  t.equal(overload('source', busy, { activeSessions: 0, standbyLagSeconds: 0 }), undefined)
})

t.test('against a server', async (t) => {
  const { cluster, as } = await startPreparedCluster('throttle')
  t.teardown(() => cluster.remove())
  const connections = new KeptConnections()
  t.teardown(() => connections.close())

  t.test('rows of a COPY are counted exactly, however it is cut', async (t) => {
    await withClient(asSuperuser(cluster, 'postgres'), 'test', async (client) => {
      for (const format of ['binary', 'text'] satisfies CopyFormat[]) {
        const copied: Buffer[] = []
        const rows = client.query(
          to(
            `copy (select n, null::text, repeat(chr(10) || chr(255), n % 50), ''::text, n::numeric
             from generate_series(1, 777) n) to stdout (format ${format})`,
          ),
        )
        for await (const chunk of rows) copied.push(chunk)
        const whole = Buffer.concat(copied)
        for (const size of [1, 3, 1_000, whole.length]) {
          const counter = new RowCounter(format)
          let counted = 0
          for (let at = 0; at < whole.length; at += size) {
            counted += counter.count(whole.subarray(at, at + size))
          }
          t.equal(counted, 777, `${format}, pieces of ${size} bytes`)
        }
      }
    })
  })

  t.test('rows of a COPY are cut into batches that can be copied by themselves', async (t) => {
    await withClient(asSuperuser(cluster, 'postgres'), 'test', async (client) => {
      await client.query(
        'create temporary table taken (n int, nothing text, odd text, blank text, exact numeric)',
      )
      for (const format of ['binary', 'text'] satisfies CopyFormat[]) {
        for (const [rows, size, limits] of [
          [777, 1, { bytes: 5_000, ms: 60_000 }],
          [777, 1_000, { bytes: 5_000, ms: 60_000 }],
          [777, 1_000, { bytes: 1e9, ms: 0 }],
          [777, 50_000, { bytes: 1e9, ms: 60_000 }],
          [0, 7, { bytes: 1e9, ms: 60_000 }],
        ] as const) {
          await client.query('truncate taken')
          const sent = `select n, null::text, repeat(chr(10) || chr(255), n % 50), '', n::numeric from generate_series(1, ${rows}) n`
          const copied = Buffer.concat(
            await client.query(to(`copy (${sent}) to stdout (format ${format})`)).toArray(),
          )
          const batches = new RowBatches(pieces(copied, size), format, limits)
          let [count, bytes] = [0, 0]
          for (let batch = await batches.next(); batch !== undefined; batch = await batches.next()) {
            await pipeline(batch.chunks, client.query(from(`copy taken from stdin (format ${format})`)))
            bytes += await batch.read
            count++
          }
          const named = `${format}, ${rows} rows in pieces of ${size} bytes, ${JSON.stringify(limits)}`
          const missing = await client.query(`(${sent}) except all select * from taken`)
          const taken = await client.query('select from taken')
          t.same([missing.rowCount, taken.rowCount, bytes], [0, rows, copied.length], named)
          // Each is as large as it may be and as large again at most; the end of a COPY may come by itself.
          const most = Math.ceil(copied.length / Math.max(size, limits.ms === 0 ? 0 : limits.bytes)) + 1
          t.ok(
            count <= most && count >= (limits.bytes > copied.length && limits.ms > 0 ? 0 : most / 2),
            named,
          )
        }
      }
    })
  })

  t.test('work waits while others keep the server busy, and not for itself', async (t) => {
    const reasons: (string | null)[] = []
    const stop = new AbortController()
    const address = asSuperuser(cluster, 'postgres')
    const busy = [1, 2].map(() =>
      withClient(address, 'test', (client) => client.query('select pg_sleep(2.5)')),
    )
    await withClient(address, 'test', async (client) => {
      while ((await readLoad(client)).activeSessions < 3) await sleep(10)
    })
    const throttle = new Throttle({
      connections,
      servers: { source: address },
      limits: { activeSessions: 2, standbyLagSeconds: 0 },
      rowsPerSecond: undefined,
      signal: stop.signal,
      onReason: (reason) => reasons.push(reason),
    })
    await throttle.ready
    const begun = performance.now()
    await Promise.all([throttle.pass(1), throttle.pass(1)])
    t.ok(performance.now() - begun > 500)
    t.same(reasons, ['source has 3 active sessions, limit 2', null])
    t.equal(throttle.pass(1_000_000), undefined, 'and passes at once afterwards')
    await Promise.all(busy)
    await throttle.close()
  })

  t.test('whoever waits is woken by the signal', async (t) => {
    const stop = new AbortController()
    const throttle = new Throttle({
      connections,
      servers: {},
      limits: { activeSessions: 0, standbyLagSeconds: 0 },
      rowsPerSecond: 1,
      signal: stop.signal,
      onReason: () => undefined,
    })
    const waiting = throttle.pass(1_000)
    stop.abort(new Error('stopped'))
    await t.rejects(waiting ?? Promise.resolve())
    await throttle.close()
  })

  t.test(
    'whoever waits for a busy server is woken by the signal, by the end, and when the server is gone',
    async (t) => {
      const address = asSuperuser(cluster, 'postgres')
      const busy = withClient(address, 'test', (client) => client.query('select pg_sleep(60)'))
      busy.catch(() => undefined)
      await withClient(address, 'test', async (client) => {
        while ((await readLoad(client)).activeSessions < 2) await sleep(10)
      })
      const stop = new AbortController()
      const [stopped, closed, left] = await Promise.all(
        [stop.signal, new AbortController().signal, new AbortController().signal].map(async (signal) => {
          const throttle = new Throttle({
            connections,
            servers: { source: address },
            limits: { activeSessions: 1, standbyLagSeconds: 0 },
            rowsPerSecond: undefined,
            signal,
            onReason: () => undefined,
          })
          await throttle.ready
          return { throttle, wait: throttle.pass(1) }
        }),
      )
      if (stopped?.wait === undefined || closed?.wait === undefined || left?.wait === undefined) {
        throw new Error('each of them waits')
      }
      stop.abort(new Error('stopped'))
      await t.rejects(stopped.wait, /stopped/)
      await stopped.throttle.close()
      await closed.throttle.close()
      await t.resolves(closed.wait)
      await cluster.kill()
      await t.resolves(left.wait, 'what does not answer is not taken for busy')
      await left.throttle.close()
      await cluster.restart()
    },
  )

  t.test('the sessions of moves are no load, and readers of the log no standbys', async (t) => {
    await withClient(asSuperuser(cluster, 'postgres'), 'test', async (client) => {
      await client.query('create table noted (at integer); create publication readers for table noted')
      await client.query("select pg_create_logical_replication_slot('reader', 'pgoutput')")
      const slow = withClient(as('freehold_owner', 'postgres'), 'test', (owner) =>
        owner.query('select pg_sleep(2)'),
      )
      const address = asSuperuser(cluster, 'postgres')
      const stream: ReplicationStream = await ReplicationStream.open(
        { address, slot: 'reader', publication: 'readers' },
        Promise.resolve(0n),
        {
          onMessage: async (message) => {
            if (message.kind !== 'commit') return
            await sleep(200)
            stream.acknowledge(message.endLsn)
          },
          onIdle: () => undefined,
          onFailure: () => undefined,
        },
      )
      const lags = async () =>
        (await client.query("select from pg_stat_replication where replay_lag > interval '50 ms'")).rowCount
      while ((await lags()) === 0) {
        await client.query('insert into noted values (1)')
        await sleep(50)
      }
      t.same(await readLoad(client), { activeSessions: 1, standbyLagSeconds: 0 }, 'who asks, and nobody else')
      await stream.close()
      await slow
      await client.query("select pg_drop_replication_slot('reader')")
      await client.query('drop table noted')
    })
  })
})

async function* pieces(whole: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size)
}
