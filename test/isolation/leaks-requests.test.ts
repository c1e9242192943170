// Leaks 13 to 17 and 21 to 24: what a process remembers of one tenant when it serves another; by their numbers in
// docs/isolation.md. Each is tried with the router, and then again with its guard taken out.

import { AsyncLocalStorage } from 'node:async_hooks'
import { Agent, request as httpRequest } from 'node:http'
import { RecentMap } from '@freehold/postgres'
import { outsideTenant, runAsTenant } from '@freehold/tenancy'
import fastify from 'fastify'
import { Kysely, sql } from 'kysely'
import { TenantResolver } from '../../packages/tenancy/src/fastify/resolution/tenant-resolver.ts'
import { Placement } from '../../packages/tenancy/src/placement/placement.ts'
import { setResident } from '../kit/tenants.ts'
import {
  asSuperuser,
  type LeakGround,
  layGrounds,
  onEachGround,
  readNames,
  tableOf,
} from './leaks/leak-ground.ts'
import {
  withMethod,
  withoutRouting,
  withPolicy,
  withPreviousTenantPersisting,
  withRememberedEntry,
} from './leaks/mutations.ts'
import { hostOf, LIMIT, startProduct } from './leaks/product.ts'
import { told } from './told.ts'

const grounds = await layGrounds('leaks-requests')
const OWN = ['own-1', 'own-2', 'own-3']

const isContext = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'tenant' in value && 'db' in value

/** A variable in the place of the asynchronous context: whoever came last is who everybody is. */
function withVariableForContext<T>(work: () => Promise<T>): Promise<T> {
  const variables = new WeakMap<object, unknown>()
  return withMethod(
    AsyncLocalStorage.prototype,
    'run',
    (original) =>
      function (...given) {
        const [context, callback, ...rest] = given
        const storage = Object(this)
        if (!isContext(context) && !variables.has(storage)) return original.apply(this, given)
        if (isContext(context)) variables.set(storage, context)
        return typeof callback === 'function' ? callback(...rest) : undefined
      },
    () =>
      withMethod(
        AsyncLocalStorage.prototype,
        'getStore',
        (original) =>
          function () {
            return variables.get(Object(this)) ?? original.apply(this)
          },
        work,
      ),
  )
}

/** What is fixed for a request is fixed for all of them: whatever was set last is what everybody gets. */
function withSharedDecorator<T>(work: () => Promise<T>): Promise<T> {
  let last: unknown
  return withMethod(
    WeakMap.prototype,
    'set',
    (original) =>
      function (...given) {
        if (isContext(given[1])) last = given[1]
        return original.apply(this, given)
      },
    () =>
      withMethod(
        WeakMap.prototype,
        'get',
        (original) =>
          function (...given) {
            const [key] = given
            const isRequest = typeof key === 'object' && key !== null && 'routeOptions' in key
            return isRequest && last !== undefined ? last : original.apply(this, given)
          },
        work,
      ),
  )
}

/** Both tenants' requests at once, over and over. @returns everything that the attacker was answered. */
async function ask(ground: LeakGround, path: string, body?: unknown): Promise<string> {
  const product = await startProduct(ground)
  try {
    const answers: string[] = []
    await Promise.all(
      Array.from({ length: 24 }, async (_, index) => {
        const who = index % 2 === 0 ? ground.attacker : ground.victim
        const answer = await product.send(path, who, body === undefined ? {} : { body })
        if (who === ground.attacker) answers.push(`${answer.status} ${answer.body}`)
      }),
    )
    return answers.join('\n')
  } finally {
    await product.close()
  }
}

onEachGround(grounds, '13: the context of asynchronous work', async (t, ground) => {
  const answers = await ask(ground, '/library', { some: 'body' })
  t.match(answers, 'own-1')
  t.notMatch(answers, ground.marker)
  t.notMatch(answers, /^(?!200)/m, 'every request is answered')
  const unguarded = await withVariableForContext(() => ask(ground, '/library', { some: 'body' }))
  t.match(unguarded, ground.marker, 'with a variable in its place, requests are taken for each other')
})

/** The process has one client, made for whoever came first. */
function withOneInstance<T>(work: () => Promise<T>): Promise<T> {
  let first: unknown
  return withMethod(
    RecentMap.prototype,
    'set',
    (original) =>
      function (...given) {
        if (given[1] instanceof Kysely) first ??= given[1]
        return original.apply(this, given)
      },
    () =>
      withMethod(
        RecentMap.prototype,
        'get',
        (original) =>
          function (...given) {
            const found = original.apply(this, given)
            const isTenant = typeof given[0] === 'string' && /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(given[0])
            return isTenant && first && (found === undefined || found instanceof Kysely) ? first : found
          },
        work,
      ),
  )
}

/** What the attacker reads, again and again, between reads of the victim's. */
async function takeTurns(ground: LeakGround): Promise<string> {
  const router = ground.router({ holdDeadlineMs: 100 })
  const names: unknown[] = []
  try {
    for (let round = 0; round < 4; round++) {
      await readNames(router.forTenant(ground.victim.id))
      names.push(await readNames(router.forTenant(ground.attacker.id)).catch((error: unknown) => error))
    }
    const mixed = await Promise.all([
      readNames(router.forTenant(ground.attacker.id)),
      readNames(router.forTenant(ground.victim.id)),
    ]).catch((error: unknown) => [error])
    names.push(mixed[0])
    return told(names)
  } finally {
    await router.close()
  }
}

onEachGround(grounds, '14: a client that is made once', async (t, ground) => {
  t.equal(await takeTurns(ground), told([OWN, OWN, OWN, OWN, OWN]))
  t.match(
    await withOneInstance(() => takeTurns(ground)),
    ground.marker,
    'one instance for all is the first tenant’s',
  )
})

onEachGround(grounds, '15: a decorator that requests share', async (t, ground) => {
  const answers = await ask(ground, '/names')
  t.match(answers, 'own-1')
  t.notMatch(answers, ground.marker)
  t.match(await withSharedDecorator(() => ask(ground, '/names')), ground.marker)
  const app = fastify()
  t.throws(() => app.decorateRequest('session', Object()), { code: 'FST_ERR_DEC_REFERENCE_TYPE' })
  await app.close()
})

/** A request of the victim's, and then one for nobody, on the same socket. */
async function askForNobody(ground: LeakGround): Promise<string> {
  const product = await startProduct(ground)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const send = (path: string, headers: Record<string, string>) =>
    new Promise<string>((resolve, reject) => {
      httpRequest(`${product.address}${path}`, { agent, headers }, (answer) => {
        let body = ''
        answer.on('data', (chunk) => {
          body += chunk
        })
        answer.on('end', () => resolve(`${answer.statusCode} ${body}`))
      })
        .on('error', reject)
        .end()
    })
  try {
    const of = (who: LeakGround['victim'] | null) => ({ authorization: `Bearer ${product.token(who)}` })
    await send('/names', of(ground.victim))
    return [
      await send('/names', {}),
      await send('/names', of(null)),
      await send('/open', {}),
      await send('/open', of(ground.attacker)),
    ].join('\n')
  } finally {
    agent.destroy()
    await product.close()
  }
}

onEachGround(grounds, '16: a request for nobody, after one for somebody', async (t, ground) => {
  const answers = await askForNobody(ground)
  t.match(answers, /^401 .*\n403 .*\n500 .*tenant_context_missing.*\n500 .*tenant_context_missing/)
  t.notMatch(answers, ground.marker)
  t.match(await withSharedDecorator(() => askForNobody(ground)), ground.marker)

  const router = ground.router()
  t.teardown(() => router.close())
  const { victim, source } = ground
  const route = source.routes.get(victim.id)
  t.equal((await readNames(router.forTenant(victim.id))).length, 4)
  source.routes.delete(victim.id)
  source.announce({ tenantId: victim.id })
  await t.rejects(readNames(router.forTenant(victim.id)), { code: 'tenant_not_found' })
  if (route) source.routes.set(victim.id, route)
})

/** The victim has the only connection, the attacker waits in vain, and then it is free again. */
async function exhaust(ground: LeakGround): Promise<string> {
  const router = ground.router({ connectionWaitMs: 2_000, holdDeadlineMs: 100 })
  const attacker = router.forTenant(ground.attacker.id)
  const read = () => readNames(attacker).catch((error: unknown) => error)
  try {
    const busy = await router.forTenant(ground.victim.id).startTransaction().execute()
    await readNames(busy)
    const whileBusy = await Promise.all([read(), read(), read()])
    await busy.commit().execute()
    return told([...whileBusy, await read(), await read()])
  } finally {
    await router.close()
  }
}

onEachGround(grounds, '17: no connection is free, and then one is', async (t, ground) => {
  const answers = await exhaust(ground)
  t.notMatch(answers, ground.marker)
  t.match(answers, told([OWN, OWN]).slice(1), 'it is served again')
  if (ground.isolation === 'silo')
    t.notMatch(answers, 'connection_budget_exhausted', 'its database is its own')
  else t.match(answers, 'connection_budget_exhausted', 'while there was none it was refused')
  t.match(await withPreviousTenantPersisting(ground, () => exhaust(ground)), ground.marker)
})

/** Where a tenant is entered, and with which key, is found out once a process. */
function withFirstPlacement<T>(work: () => Promise<T>): Promise<T> {
  let first: unknown
  return withMethod(
    Placement.prototype,
    'entry',
    (original) =>
      function (...given) {
        first ??= original.apply(this, given)
        return first
      },
    work,
  )
}

onEachGround(grounds, '21: something that the first tenant fixes', async (t, ground) => {
  t.equal(await takeTurns(ground), told([OWN, OWN, OWN, OWN, OWN]))
  const attempt = () => withFirstPlacement(() => takeTurns(ground))
  if (ground.isolation !== 'silo') {
    t.match(await attempt(), ground.marker, 'the entry of whoever came first')
    return
  }
  t.notMatch(await attempt(), ground.marker, 'the entry of another is not good in a database of its own')
  t.match(await withoutRouting(() => takeTurns(ground)), 'not_resident', 'nor is the way to another')
  t.notMatch(await withRememberedEntry(ground, () => takeTurns(ground)), ground.marker)
  t.match(await withoutRouting(attempt), ground.marker, 'both together are')
})

/** The header decides, then the token: as those do it who find the tenant by the first thing that names one. */
function withTrustedHeader<T>(work: () => Promise<T>): Promise<T> {
  return withMethod(
    TenantResolver.prototype,
    'resolve',
    (original) =>
      function (...given) {
        const [request] = given
        const { headers } = Object(request)
        if (typeof headers['x-tenant-id'] !== 'string') return original.apply(this, given)
        return Promise.resolve({ tenant: { id: headers['x-tenant-id'] }, apiKey: null })
      },
    work,
  )
}

async function askWithHeader(ground: LeakGround): Promise<string> {
  const product = await startProduct(ground)
  const { attacker, victim } = ground
  try {
    const header = { 'x-tenant-id': victim.id }
    const answers = [
      await product.send('/names', attacker, { headers: header }),
      await product.send('/names', attacker, { headers: { host: hostOf(victim) } }),
      await product.send('/names', null, { headers: header }),
      await product.send('/names', null, { headers: { host: hostOf(victim) } }),
    ]
    return answers.map(({ status, body }) => `${status} ${body}`).join('\n')
  } finally {
    await product.close()
  }
}

onEachGround(grounds, '22: a header or a host against the token', async (t, ground) => {
  const answers = await askWithHeader(ground)
  t.match(answers, /^403 .*\n403 .*\n403 .*\n403 /, 'they disagree, or nobody has proved anything')
  t.notMatch(answers, ground.marker)
  t.match(await withTrustedHeader(() => askWithHeader(ground)), ground.marker)
  const product = await startProduct(ground)
  t.teardown(() => product.close())
  const agreed = await product.send('/names', ground.victim, {
    headers: { 'x-tenant-id': ground.victim.id, host: hostOf(ground.victim) },
  })
  t.match(agreed, { status: 200, body: ground.marker }, 'where all agree, it is served')
})

async function exceedLimit(ground: LeakGround): Promise<number> {
  const product = await startProduct(ground)
  let served = 0
  try {
    for (let times = 0; times < 2 * LIMIT; times++) {
      const headers = { 'x-tenant-id': times % 2 === 0 ? ground.attacker.id : ground.victim.id }
      if ((await product.send('/limited', ground.attacker, { headers })).body === 'served') served++
    }
    return served
  } finally {
    await product.close()
  }
}

onEachGround(grounds, '22: a limit that is counted by the header', async (t, ground) => {
  t.equal(await exceedLimit(ground), LIMIT)
  t.equal(await withTrustedHeader(() => exceedLimit(ground)), 2 * LIMIT, 'twice as many by varying it')
})

async function writeForAnother(ground: LeakGround): Promise<string> {
  const product = await startProduct(ground)
  const { attacker, victim } = ground
  try {
    const body = { tenant_id: victim.id, id: 99, name: 'planted' }
    const written = await product.send('/items', attacker, { body })
    const asOther = await product.send('/as', attacker, { body: { tenant: victim.id } })
    return `${written.body} ${asOther.body}`
  } finally {
    await product.close()
  }
}

onEachGround(grounds, '23: the body names another tenant', async (t, ground) => {
  const { attacker, victim, marker } = ground
  const planted = () => {
    const table = tableOf(attacker)
    return asSuperuser(
      attacker.home,
      `delete from ${table} where tenant_id = '${victim.id}' and id = 99 returning id`,
    )
  }
  const answer = await writeForAnother(ground)
  t.match(answer, /tenant_fixed/, 'inside a request there is no switching')
  t.notMatch(answer, marker)
  t.same(await planted(), [])
  await withPolicy(attacker.home, tableOf(attacker), { check: 'true' }, () => writeForAnother(ground))
  t.equal((await planted()).length, 1, 'without WITH CHECK the body decides')

  const router = ground.router()
  t.teardown(() => router.close())
  const switched = await runAsTenant(router, attacker.id, () =>
    outsideTenant(() =>
      runAsTenant(router, victim.id, async (db) => sql`select name from items`.execute(db)),
    ),
  )
  t.match(told(switched), marker, 'only who says outsideTenant() leaves the tenant')
})

onEachGround(grounds, '24: a tenant that is suspended while it is at work', async (t, ground) => {
  const { victim, source } = ground
  const route = source.routes.get(victim.id)
  if (!route) throw new Error('the victim has no route')
  const router = ground.router({
    maxConnectionsPerDatabase: 3,
    maxConnectionsPerTenant: 3,
    holdDeadlineMs: 200,
  })
  const product = await startProduct(ground)
  t.teardown(() => Promise.all([router.close(), product.close()]))
  const db = router.forTenant(victim.id)
  const refused = { code: 'tenant_suspended' }
  const trx = await db.startTransaction().execute()
  await readNames(trx)
  const rows = db.selectFrom('items').select('name').stream(1)
  await rows.next()
  t.equal((await product.send('/names', victim)).status, 200)

  source.routes.set(victim.id, { ...route, status: 'suspended' })
  t.equal((await readNames(db)).length, 4, 'unheard, it goes on with what is known')
  source.announce({ tenantId: victim.id })
  await t.rejects(readNames(db), refused, 'announced: not one more statement')
  await t.rejects(db.transaction().execute(readNames), refused)
  await t.rejects(router.tenant(victim.id), refused)
  t.match(await product.send('/names', victim), { status: 403, body: /tenant_suspended/ }, 'nor a request')
  t.equal((await readNames(trx)).length, 4, 'what has begun is finished')
  t.match(await rows.next(), { value: { name: /./ } })
  await rows.return?.(undefined)
  await trx.commit().execute()
  await t.rejects(db.startTransaction().execute(), refused)

  source.routes.set(victim.id, route)
  source.announce({ tenantId: victim.id })
  t.equal((await readNames(db)).length, 4)
  source.routes.set(victim.id, { ...route, status: 'suspended' })
  source.announce('all')
  await t.rejects(readNames(db), refused, 'what was missed is found out when announcements are heard again')

  source.routes.set(victim.id, route)
  source.announce({ tenantId: victim.id })
  t.equal((await readNames(db)).length, 4)
  source.routes.set(victim.id, { ...route, status: 'suspended' })
  await setResident(victim.home, victim.id, 'standby', 1, victim.schema)
  await t.rejects(readNames(db), refused, 'and the database itself lets nobody in who has heard nothing')
  await setResident(victim.home, victim.id, 'active', 1, victim.schema)
  source.routes.set(victim.id, route)
})
