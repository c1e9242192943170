import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import fastifyJwt from '@fastify/jwt'
import multipart from '@fastify/multipart'
import type { TenantId } from '@freehold/contract'
import {
  bindToTenant,
  createRouter,
  currentTenant,
  currentTenantIfAny,
  outsideTenant,
  runAsTenant,
} from '@freehold/tenancy'
import { freehold } from '@freehold/tenancy/fastify'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  ControlledSource,
  createItemsDatabase,
  newTenantId,
  setResident,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'

const prepared = await startPreparedCluster('context')
const pool = await createItemsDatabase(prepared, 'pool')
const source = new ControlledSource()
const router = createRouter({ source, entrySecret: testEntrySecret })
const secret = 'a jwt secret that is only good for tests'

async function newTenant(): Promise<TenantId> {
  const tenantId = newTenantId()
  await setResident(pool, tenantId)
  source.place(pool, tenantId)
  return tenantId
}

const tenants = [await newTenant(), await newTenant()] as const
const [one, two] = tenants
await router.forTenant(one).insertInto('items').values({ id: 1, name: 'of one' }).execute()
await router.forTenant(two).insertInto('items').values({ id: 1, name: 'of two' }).execute()

const now = () => currentTenantIfAny()?.tenant.id ?? 'nobody'
/** What each stage of each request saw, by the request's own id. */
const seen = new Map<string, { readonly stages: Set<string>; readonly as: Set<string> }>()
let hookErrors = 0

function see(request: FastifyRequest, stage: string): void {
  const id = String(request.headers['x-request'])
  const entry = seen.get(id) ?? { stages: new Set(), as: new Set() }
  entry.stages.add(stage)
  entry.as.add(now())
  seen.set(id, entry)
}

/** A context that an emitter wakes: listeners run as whoever emits. */
const shared = new EventEmitter()
shared.setMaxListeners(0)

async function addProduct(app: FastifyInstance): Promise<void> {
  await app.register(multipart, { limits: { fileSize: 64_000_000 } })
  app.addHook('onRequest', async (request) => {
    await sleep(Math.random() * 3)
    see(request, 'onRequest')
  })
  app.addHook('preParsing', async (request, _reply, payload) => {
    see(request, 'preParsing')
    // Multipart reads the request itself.
    if (request.headers['content-type']?.startsWith('multipart/')) return payload
    const through = new Transform({
      transform(chunk, _encoding, done) {
        see(request, 'parsing')
        done(null, chunk)
      },
    })
    return Object.assign(payload.pipe(through), { receivedEncodedLength: 0 })
  })
  app.addHook('preValidation', (request, _reply, done) => {
    see(request, 'preValidation')
    setTimeout(done, Math.random() * 3)
  })
  app.addHook('preHandler', async (request) => {
    await nextTurn()
    see(request, 'preHandler')
  })
  app.addHook('preSerialization', async (request, _reply, payload) => {
    see(request, 'preSerialization')
    return payload
  })
  app.addHook('onSend', async (request, _reply, payload) => {
    see(request, 'onSend')
    return payload
  })
  app.addHook('onResponse', async (request) => see(request, 'onResponse'))
  app.addHook('onError', async (request) => {
    hookErrors++
    see(request, 'onError')
  })
  app.addContentTypeParser('text/lines', { parseAs: 'string' }, (request, body, done) => {
    see(request, 'parser')
    done(null, body)
  })

  app.post('/json', async (request) => {
    see(request, 'handler')
    await sleep(Math.random() * 5)
    const rows = await request.db.selectFrom('items').select('name').execute()
    see(request, 'after a query')
    for await (const row of request.db.selectFrom('items').select('name').stream()) {
      see(request, 'in a stream of rows')
      rows.push(row)
    }
    await request.db.transaction().execute(async (trx) => {
      await trx.selectFrom('items').select('name').execute()
      see(request, 'in a transaction')
    })
    return { rows }
  })
  app.post('/lines', async (request) => ({ length: String(request.body).length }))
  app.post('/files', async (request) => {
    let bytes = 0
    for await (const part of request.files()) {
      see(request, 'between parts')
      const count = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          see(request, 'in a part')
          bytes += chunk.length
          done()
        },
      })
      await pipeline(part.file, count)
    }
    return { bytes }
  })
  app.post('/woken', (request, reply) => {
    // The handler itself lets go of the context: whoever emits decides as whom this runs.
    shared.once('wake', () => {
      const woken = now()
      void reply.send({ woken })
    })
    setImmediate(() => see(request, 'setImmediate'))
    process.nextTick(() => see(request, 'nextTick'))
  })
  app.post('/broken', async () => {
    await sleep(1)
    throw new Error('of the product')
  })
  app.post('/open', { config: { tenant: false } }, async (request) => {
    see(request, 'handler')
    return { as: now() }
  })
}

const app = fastify()
await app.register(fastifyJwt, { secret })
await app.register(freehold, { router })
await addProduct(app)
const address = await app.listen({ host: '127.0.0.1', port: 0 })
t.teardown(async () => {
  await app.close()
  await router.close()
  await prepared.cluster.remove()
})

const bearer = (tenant: TenantId) => `Bearer ${app.jwt.sign({ tenant })}`
let requests = 0

interface Sent {
  readonly id: string
  readonly status: number
  readonly body: string
}

async function post(
  path: string,
  tenant: TenantId | undefined,
  body: string | Buffer | FormData,
  type?: string,
): Promise<Sent> {
  const id = `${++requests}`
  const headers: Record<string, string> = { 'x-request': id }
  if (tenant) headers.authorization = bearer(tenant)
  if (type) headers['content-type'] = type
  const answer = await fetch(address + path, { method: 'POST', headers, body: body as BodyInit })
  const sent = { id, status: answer.status, body: await answer.text() }
  // What runs after the answer has left is part of the request as well.
  while (!seen.get(id)?.stages.has('onResponse')) await nextTurn()
  return sent
}

const bigJson = JSON.stringify({ text: 'x'.repeat(300_000) })

t.test(
  'two tenants and nobody, interleaved: every stage of every request knows as whom it runs',
  async (t) => {
    const sent = await Promise.all(
      Array.from({ length: 300 }, async (_, index) => {
        const tenant = [one, two, undefined][index % 3]
        const path = tenant === undefined ? '/open' : '/json'
        return { tenant, ...(await post(path, tenant, bigJson, 'application/json')) }
      }),
    )
    for (const { id, tenant, status, body } of sent) {
      t.equal(status, 200)
      t.same([...(seen.get(id)?.as ?? [])], [tenant ?? 'nobody'], `request ${id}`)
      if (!tenant) continue
      const name = tenant === one ? 'of one' : 'of two'
      t.same(JSON.parse(body), { rows: [{ name }, { name }] })
    }
    const stages = [...(seen.get(sent[0]?.id ?? '')?.stages ?? [])]
    const all =
      'onRequest preParsing parsing preValidation preHandler handler preSerialization onSend onResponse'
    for (const stage of all.split(' ')) t.ok(stages.includes(stage), stage)
  },
)

t.test('bodies of other kinds: a parser of the product, and files that arrive in many pieces', async (t) => {
  const file = new Blob([Buffer.alloc(1_000_000, 'f')])
  const sent = await Promise.all(
    Array.from({ length: 24 }, async (_, index) => {
      const tenant = index % 2 ? one : two
      const form = new FormData()
      form.append('first', file, 'first.bin')
      form.append('second', file, 'second.bin')
      return [
        { tenant, stage: 'in a part', ...(await post('/files', tenant, form)) },
        { tenant, stage: 'parser', ...(await post('/lines', tenant, 'l'.repeat(200_000), 'text/lines')) },
      ]
    }),
  )
  for (const { id, tenant, stage, status, body } of sent.flat()) {
    t.equal(status, 200)
    t.match(JSON.parse(body), stage === 'parser' ? { length: 200_000 } : { bytes: 2_000_000 })
    t.ok(seen.get(id)?.stages.has(stage))
    t.same([...(seen.get(id)?.as ?? [])], [tenant], stage)
  }
})

t.test('a handler that is woken by another tenant answers as its own in the hooks', async (t) => {
  const waiting = tenants.map((tenant) => post('/woken', tenant, '{}', 'application/json'))
  while (shared.listenerCount('wake') < 2) await sleep(5)
  await runAsTenant(router, one, async () => shared.emit('wake'))
  const answers = await Promise.all(waiting)
  for (const [index, { id, body }] of answers.entries()) {
    t.same(JSON.parse(body), { woken: one }, 'a listener runs as whoever emits, as everywhere in Node')
    t.same([...(seen.get(id)?.as ?? [])], [tenants[index]], 'but every hook after it runs as the request')
  }
})

t.test(
  'failing requests: hooks of errors know the tenant, and those without a tenant know nobody',
  async (t) => {
    const broken = await post('/broken', two, '{}', 'application/json')
    t.same([...(seen.get(broken.id)?.as ?? [])], [two])
    const refused = await post('/json', undefined, '{}', 'application/json')
    t.equal(refused.status, 401)
    t.same([...(seen.get(refused.id)?.as ?? [])], ['nobody'])
    const tooEarly = await post('/json', one, '{', 'application/json')
    t.equal(tooEarly.status, 400)
    t.same([...(seen.get(tooEarly.id)?.as ?? [])], [one])
    t.equal(hookErrors, 3)
  },
)

t.test('a connection keeps no tenant: the next request on it without one runs as nobody', async (t) => {
  const { port, hostname } = new URL(address)
  const socket = connect(Number(port), hostname)
  const raw = (path: string, id: string, headers: string) =>
    `POST ${path} HTTP/1.1\r\nhost: x\r\nx-request: ${id}\r\n${headers}content-type: application/json\r\ncontent-length: 2\r\n\r\n{}`
  const withTenant = raw('/json', 'pipelined-1', `authorization: ${bearer(one)}\r\n`)
  socket.write(withTenant + raw('/open', 'pipelined-2', '') + raw('/json', 'pipelined-3', ''))
  while (!seen.get('pipelined-3')?.stages.has('onResponse')) await sleep(2)
  socket.destroy()
  t.same([...(seen.get('pipelined-1')?.as ?? [])], [one])
  t.same([...(seen.get('pipelined-2')?.as ?? [])], ['nobody'])
  t.same([...(seen.get('pipelined-3')?.as ?? [])], ['nobody'])
})

t.test('a request made inside a tenant runs as its own tenant, or as nobody', async (t) => {
  const id = 'inside'
  const answer = await runAsTenant(router, one, async () =>
    app.inject({ method: 'POST', url: '/open', headers: { 'x-request': id }, payload: { a: 1 } }),
  )
  t.same(answer.json(), { as: 'nobody' })
  t.same([...(seen.get(id)?.as ?? [])], ['nobody'])
})

t.test('a client that goes away takes no context along', async (t) => {
  const aborted = Promise.withResolvers<string>()
  const other = fastify()
  await other.register(fastifyJwt, { secret })
  await other.register(freehold, { router })
  other.addHook('onRequestAbort', async (_request) => aborted.resolve(now()))
  other.get('/slow', async () => sleep(200).then(() => 'late'))
  t.teardown(() => other.close())
  const slow = await other.listen({ host: '127.0.0.1', port: 0 })
  const request = httpRequest(`${slow}/slow`, { headers: { authorization: bearer(two) } })
  request.on('error', () => undefined)
  request.end()
  await sleep(50)
  request.destroy()
  t.equal(await aborted.promise, two)
})

t.test('without binding the events of a request, its body is read as nobody', async (t) => {
  // What the plugin guards against, done without it: the context is set before the body and gone after.
  const storage = new AsyncLocalStorage<string>()
  const careless = fastify()
  careless.addHook('onRequest', (_request, _reply, done) => storage.run('set', done))
  careless.addContentTypeParser('text/lines', { parseAs: 'string' }, (_request, _body, done) =>
    done(null, storage.getStore() ?? 'lost'),
  )
  careless.post('/', async (request) => request.body)
  t.teardown(() => careless.close())
  const url = await careless.listen({ host: '127.0.0.1', port: 0 })
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'text/lines' },
    body: 'l'.repeat(300_000),
  })
  t.equal(await answer.text(), 'lost')
})

t.test('timers, emitters, streams and callbacks inside runAsTenant', async (t) => {
  await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const tenant = index % 2 ? one : two
      await runAsTenant(router, tenant, async (db) => {
        const found = new Set<string>()
        const note = () => found.add(now())
        await sleep(Math.random() * 3).then(note)
        await new Promise<void>((resolve) => setImmediate(() => resolve(void note())))
        await new Promise<void>((resolve) => setTimeout(() => resolve(void note()), Math.random() * 3))
        await new Promise<void>((resolve) => process.nextTick(() => resolve(void note())))
        queueMicrotask(note)
        for await (const _ of Readable.from(['a', 'b'])) note()
        await db.selectFrom('items').select('id').execute()
        note()
        const timer = setInterval(note, 1)
        await sleep(5)
        clearInterval(timer)
        const bound = bindToTenant((text: string) => `${text} ${now()}`)
        found.add(outsideTenant(() => bound('bound')).replace('bound ', ''))
        const own = new EventEmitter()
        own.once('event', bindToTenant(note))
        outsideTenant(() => own.emit('event'))
        t.same([...found], [tenant])
      })
    }),
  )
  t.equal(now(), 'nobody')
})

t.test('the tenant is fixed once', async (t) => {
  t.throws(() => currentTenant(), { code: 'tenant_context_missing' })
  t.throws(() => bindToTenant(() => 1), { code: 'tenant_context_missing' })
  await runAsTenant(router, one, async () => {
    let ran = false
    await t.rejects(
      runAsTenant(router, two, async () => {
        ran = true
      }),
      { code: 'tenant_fixed' },
    )
    t.notOk(ran)
    t.equal(await runAsTenant(router, one, async () => now()), one, 'the same one again is no switch')
    t.equal(await runAsTenant(router, one.toUpperCase(), async () => now()), one)
    await outsideTenant(async () => {
      t.throws(() => currentTenant(), { code: 'tenant_context_missing' })
      t.equal(await runAsTenant(router, two, async () => now()), two)
    })
    t.equal(now(), one)
  })
  await t.rejects(
    runAsTenant(router, newTenantId(), async () => 1),
    { code: 'tenant_not_found' },
  )
})
