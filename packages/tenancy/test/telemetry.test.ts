import fastifyJwt from '@fastify/jwt'
import type { TenantId } from '@freehold/contract'
import {
  createRouter,
  outsideTenant,
  runAsTenant,
  tenantErrorContext,
  tenantLogFields,
} from '@freehold/tenancy'
import { freehold } from '@freehold/tenancy/fastify'
import { TenantSpanProcessor, traceRouter } from '@freehold/tenancy/telemetry'
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import fastify from 'fastify'
import { sql } from 'kysely'
import { type Logger, pino } from 'pino'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  ControlledSource,
  createItemsDatabase,
  newTenantId,
  setResident,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'

const prepared = await startPreparedCluster('telemetry')
const pool = await createItemsDatabase(prepared, 'pool')
const source = new ControlledSource()
const router = createRouter({ source, entrySecret: testEntrySecret })
t.teardown(async () => {
  await router.close()
  await prepared.cluster.remove()
})

async function newTenant(): Promise<TenantId> {
  const tenantId = newTenantId()
  await setResident(pool, tenantId)
  source.place(pool, tenantId)
  return tenantId
}

const one = await newTenant()
const two = await newTenant()

/** Lines of a logger, parsed; a line that names the tenant twice is not one. */
function newLog(): { readonly logger: Logger; readonly text: string[]; lines(): Record<string, unknown>[] } {
  const text: string[] = []
  const logger = pino({ mixin: tenantLogFields }, { write: (line: string) => void text.push(line) })
  return { logger, text, lines: () => text.map((line) => JSON.parse(line)) }
}

t.test('every line that is logged inside a tenant names it, and no other does', async (t) => {
  const log = newLog()
  log.logger.info('before')
  await Promise.all(
    [one, two].map((tenant) =>
      runAsTenant(router, tenant, async (db) => {
        log.logger.info({ wanted: tenant }, 'first')
        await db.selectFrom('items').selectAll().execute()
        log.logger.child({ part: 'x' }).warn({ wanted: tenant }, 'second')
        outsideTenant(() => log.logger.info('outside'))
      }),
    ),
  )
  for (const line of log.lines()) t.equal(line['tenant.id'], line.wanted, String(line.msg))
  t.equal(log.lines().length, 7)
  t.notMatch(
    log.text.join(''),
    new RegExp(`${pool.app.password}|slug|freehold_app`),
    'and nothing else about it',
  )
})

t.test('the log of a request names its tenant once, with and without the mixin', async (t) => {
  for (const mixin of [tenantLogFields, undefined]) {
    const text: string[] = []
    const app = fastify({
      loggerInstance: pino(mixin ? { mixin } : {}, { write: (line: string) => void text.push(line) }),
    })
    await app.register(fastifyJwt, { secret: 'a jwt secret that is only good for tests' })
    await app.register(freehold, { router })
    app.get('/', async (request) => {
      request.log.info('in the handler')
      outsideTenant(() => request.log.child({ deep: true }).info('by a child, from outside'))
      if (mixin) app.log.info('by the log of the application')
      return 'done'
    })
    app.get('/open', { config: { tenant: false } }, async (request) => {
      request.log.info('open')
      return 'done'
    })
    const authorization = `Bearer ${app.jwt.sign({ tenant: one })}`
    await app.inject({ url: '/', headers: { authorization } })
    const named = text.filter((line) => line.includes(one))
    const expected = ['in the handler', 'by a child', 'request completed', ...(mixin ? ['by the log'] : [])]
    for (const message of expected)
      t.ok(
        named.some((line) => line.includes(message)),
        message,
      )
    t.equal(named.length, expected.length)
    for (const line of named) t.equal(line.split('"tenant.id"').length, 2, `once: ${line}`)
    text.length = 0
    await app.inject({ url: '/open', headers: { authorization } })
    t.ok(text.length >= 3)
    t.notMatch(text.join(''), 'tenant.id')
    await app.close()
  }
})

t.test('what an error report may say', async (t) => {
  t.same(tenantErrorContext(), {})
  await runAsTenant(router, one, async () =>
    t.same(tenantErrorContext(), {
      'tenant.id': one,
      'tenant.tier': 'free',
      'tenant.region': 'us-east',
      'tenant.isolation': 'pool',
    }),
  )
})

t.test('spans', async (t) => {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({
    spanProcessors: [new TenantSpanProcessor(), new SimpleSpanProcessor(exporter)],
  })
  const manager = new AsyncLocalStorageContextManager().enable()
  context.setGlobalContextManager(manager)
  const tracer = provider.getTracer('test')
  t.teardown(async () => {
    context.disable()
    await provider.shutdown()
  })
  const finished = (): ReadableSpan[] => exporter.getFinishedSpans()
  const attributesOf = (name: string) => finished().find((span) => span.name === name)?.attributes
  t.beforeEach(() => exporter.reset())

  t.test('whatever is started inside a tenant is named after it', async (t) => {
    tracer.startSpan('outside').end()
    await Promise.all(
      [one, two].map((tenant) =>
        runAsTenant(router, tenant, async () => {
          await new Promise((resolve) => setImmediate(resolve))
          tracer.startActiveSpan(`of ${tenant}`, (span) => {
            tracer.startSpan(`below ${tenant}`).end()
            span.end()
          })
        }),
      ),
    )
    t.same(attributesOf('outside'), {})
    for (const tenant of [one, two]) {
      t.same(attributesOf(`of ${tenant}`), { 'tenant.id': tenant })
      t.same(attributesOf(`below ${tenant}`), { 'tenant.id': tenant })
    }
  })

  t.test('statements and requests, while somebody traces them', async (t) => {
    await router.forTenant(one).selectFrom('items').selectAll().execute()
    t.same(finished(), [], 'nobody listens')
    const stop = traceRouter(tracer)
    const secret = 'a value that is nobody else’s business'
    const app = fastify()
    await app.register(fastifyJwt, { secret: 'a jwt secret that is only good for tests' })
    // As the instrumentation of HTTP does: a span for the request before anybody knows whose it is.
    app.addHook('onRequest', (request, _reply, done) => {
      const span = tracer.startSpan('request')
      request.raw.once('close', () => span.end())
      context.with(trace.setSpan(context.active(), span), done)
    })
    await app.register(freehold, { router })
    app.get('/', async ({ db }) => {
      await db.insertInto('items').values({ id: 1, name: secret }).execute()
      for await (const _ of db.selectFrom('items').selectAll().stream());
      await db
        .transaction()
        .execute(async (trx) => {
          await sql`/* hint */ update items set quantity = 2 where name = ${secret}`.execute(trx)
          await sql`select 1 / 0 as ${sql.ref('impossible')}`.execute(trx).catch(() => undefined)
        })
        .catch(() => undefined)
      return 'done'
    })
    t.teardown(() => app.close())
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const authorization = `Bearer ${app.jwt.sign({ tenant: one })}`
    await (await fetch(url, { headers: { authorization, connection: 'close' } })).text()
    while (!attributesOf('request')) await new Promise((resolve) => setTimeout(resolve, 5))
    t.same(attributesOf('request'), { 'tenant.id': one }, 'the span of the request got it later')

    const statements = finished().filter((span) => span.kind === SpanKind.CLIENT)
    t.same(
      statements.map((span) => span.attributes['db.operation.name']),
      ['INSERT', 'SELECT', 'UPDATE', 'SELECT'],
    )
    const request = finished().find((span) => span.name === 'request')
    for (const span of statements) {
      t.match(span.attributes, {
        'db.system.name': 'postgresql',
        'db.namespace': 'pool|public',
        'server.address': pool.app.host,
        'server.port': pool.app.port,
        'tenant.id': one,
      })
      t.equal(span.name, `${span.attributes['db.operation.name']} pool|public`)
      t.equal(span.parentSpanContext?.spanId, request?.spanContext().spanId, 'below the request')
      t.notMatch(
        JSON.stringify([span.name, span.attributes, span.events, span.status]),
        /business|hint|items/,
      )
      t.ok(span.duration[0] < 60)
    }
    const failed = statements.filter((span) => span.status.code === SpanStatusCode.ERROR)
    t.equal(failed.length, 1)
    t.match(failed[0]?.attributes, { 'db.response.status_code': '22012', 'error.type': '22012' })

    stop()
    exporter.reset()
    await router.forTenant(one).selectFrom('items').selectAll().execute()
    t.same(finished(), [], 'nobody listens any more')
  })
})
