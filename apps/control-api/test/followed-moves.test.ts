import { moveSchema, operationIdSchema } from '@freehold/contract'
import t from 'tap'
import { readEventStream, type StreamEvent } from '../../../test/kit/event-stream.ts'
import { until } from '../../../test/kit/until.ts'
import { prepareApiGround } from './api-ground.ts'

const ground = await prepareApiGround()
t.teardown(() => ground.remove())
const { api, authorization, catalog, get, newTenant, start, abort, asRoot } = ground
const base = await api.app.listen({ host: '127.0.0.1', port: 0 })

/** Follows a move over a real connection. */
async function follow(id: string, lastEventId?: number) {
  const leave = new AbortController()
  const response = await fetch(`${base}/v1/moves/${id}/events`, {
    headers: { authorization, ...(lastEventId !== undefined && { 'last-event-id': `${lastEventId}` }) },
    signal: leave.signal,
  })
  const heard: StreamEvent[] = []
  const ended = (async () => {
    if (response.body !== null) for await (const event of readEventStream(response.body)) heard.push(event)
  })().catch(() => undefined)
  return { response, heard, ended, leave: () => leave.abort() }
}

t.test('who follows a move hears all of it, once, and its end', async (t) => {
  const { id } = await start(await newTenant())
  const stream = await follow(id)
  t.match(stream.response.headers.get('content-type'), /^text\/event-stream/)
  t.equal(stream.response.headers.get('cache-control'), 'no-store')
  await until(() => stream.heard.length === 2)
  t.match(stream.heard, [
    { event: 'timeline', id: '1', data: { sequence: 1, phase: 'planned' } },
    { event: 'move', data: { id, phase: 'planned' } },
  ])

  const operationId = operationIdSchema.parse(id)
  const claimed = await catalog.operations.claim(operationId, 'test', 60_000)
  const lease = { id: operationId, token: claimed?.fencingToken ?? 0 }
  const { progress } = await catalog.operations.get(operationId)
  for (let rowsCopied = 1; rowsCopied <= 60; rowsCopied++) {
    await catalog.operations.saveProgress(lease, { ...progress, rowsCopied })
  }
  const moves = () =>
    stream.heard.filter(({ event }) => event === 'move').map(({ data }) => moveSchema.parse(data))
  await until(() => moves().at(-1)?.progress.rowsCopied === 60)
  t.ok(moves().length < 30, `60 changes in ${moves().length} messages`)

  await catalog.operations.addEvent(lease, 'Copied.')
  await catalog.operations.release(lease, 0)
  await abort(id)
  await stream.ended
  const timeline = stream.heard.filter(({ event }) => event === 'timeline')
  t.same(
    timeline.map((event) => event.id),
    ['1', '2', '3', '4'],
  )
  t.match(stream.heard.slice(-2), [{ event: 'move', data: { phase: 'aborted' } }, { event: 'end' }])

  const resumed = await follow(id, 2)
  await resumed.ended
  t.same(
    resumed.heard.map((event) => event.id ?? event.event),
    ['3', '4', 'move', 'end'],
    'taken up again after what was heard',
  )
})

t.test('a follower outlives an interruption of the control database', async (t) => {
  const { id } = await start(await newTenant())
  const stream = await follow(id)
  await until(() => stream.heard.length === 2)
  await asRoot('postgres', 'alter database freehold_catalog allow_connections false')
  await asRoot(
    'postgres',
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'freehold_catalog'",
  )
  t.match((await get(`/v1/moves/${id}`)).json(), { code: 'catalog_unavailable' })
  await asRoot('postgres', 'alter database freehold_catalog allow_connections true')
  await abort(id)
  await stream.ended
  t.match(stream.heard.at(-1), { event: 'end' })
})

t.test('streams of those who left are ended, and closing ends the others', async (t) => {
  const { id } = await start(await newTenant())
  const first = await follow(id)
  const second = await follow(id)
  await until(() => first.heard.length === 2 && second.heard.length === 2)
  first.leave()
  await first.ended
  const begun = performance.now()
  await api.app.close()
  await second.ended
  t.ok(performance.now() - begun < 2_000)
  t.notMatch(second.heard.at(-1), { event: 'end' }, 'the move has not ended, only the stream')
})

t.end()
