import { setTimeout as sleep } from 'node:timers/promises'
import type { TenantId } from '@freehold/contract'
import t from 'tap'
import { until } from '../../../test/kit/until.ts'
import { count, prepareJobsGround, TIMEOUT_MS } from './jobs-ground.ts'

t.setTimeout(2 * TIMEOUT_MS)
const ground = await prepareJobsGround('jobs-shares')
t.teardown(() => ground.remove())
const { newTenant } = ground

for (const [kindName, kind] of Object.entries(ground.kinds)) {
  t.test(kindName, { timeout: TIMEOUT_MS }, async (t) => {
    const { newName, newQueue, newWorker } = await ground.use(kind)

    t.test(`${kind.flood} jobs of one tenant do not keep another's first one waiting`, async (t) => {
      const name = newName()
      const queue = newQueue(name)
      const [loud, quiet] = [await newTenant(), await newTenant()]
      const jobs = Array.from({ length: kind.flood }, (_, n) => ({ name: 'job', payload: n }))
      await queue.forTenant(loud).addMany(jobs)
      const { runs, worker } = newWorker(t, name, { concurrency: 5 })
      await until(() => runs.length > 50)
      await queue.forTenant(quiet).add('job', 'first')
      const before = runs.length
      await until(() => runs.some((run) => run.tenant === quiet))
      const ahead = runs.findIndex((run) => run.tenant === quiet) - before
      // Four places and five workers; everything else is how much the worker did before `add` came back.
      t.ok(ahead <= 4 + 5, `${ahead} jobs began before it`)
      await worker.close()
      const order = runs.filter((run) => run.tenant === loud).map((run) => Number(run.payload))
      const strayed = order.map((payload, index) => Math.abs(payload - index))
      t.ok(
        Math.max(...strayed) <= 4 + 5,
        'and its own begin in the order in which they were put in, but for its places',
      )
    })

    t.test('a tenant has so many jobs and no more, by its tier', async (t) => {
      const name = newName()
      const queue = newQueue(name, { maxWaiting: { default: 10, pro: 30 } })
      const [loud, quiet, paying] = [await newTenant(), await newTenant(), await newTenant({ plan: 'pro' })]
      const fill = (tenant: TenantId, count: number) =>
        queue
          .forTenant(tenant)
          .addMany(Array.from({ length: count }, (_, n) => ({ name: 'job', payload: n })))
      const full = { code: 'too_many_jobs', details: { maximum: 10 }, retryAfterSeconds: 10 }
      await t.rejects(fill(loud, 11), full, 'all or nothing')
      await fill(loud, 9)
      await t.rejects(fill(loud, 2), full)
      await fill(loud, 1)
      await t.rejects(fill(loud, 1), full)
      await fill(quiet, 10)
      await fill(paying, 30)
      await newQueue(name).forTenant(loud).add('job', 'without the limit')
      const { runs } = newWorker(t, name)
      await until(() => runs.length === 51)
      t.same(count(runs.map((run) => run.tenant)), { [loud]: 11, [quiet]: 10, [paying]: 30 })
      await until(() => fill(loud, 10).then(Boolean, () => false))
      await until(() => runs.length === 61)
    })

    t.test('without places, as in a plain queue, it waits for all of them', async (t) => {
      const name = newName()
      const queue = newQueue(name, { shares: { default: 1_000 } })
      const [loud, quiet] = [await newTenant(), await newTenant()]
      await queue
        .forTenant(loud)
        .addMany(Array.from({ length: 500 }, (_, n) => ({ name: 'job', payload: n })))
      await queue.forTenant(quiet).add('job', 'first')
      const { runs } = newWorker(t, name, { shares: { default: 1_000 } })
      await until(() => runs.some((run) => run.tenant === quiet))
      t.ok(runs.findIndex((run) => run.tenant === quiet) > 400)
    })

    t.test('long jobs of one tenant take no more workers than its share, and nobody spins', async (t) => {
      const name = newName()
      const queue = newQueue(name, { shares: { default: 2 } })
      const [slow, quick] = [await newTenant(), await newTenant()]
      const gate = Promise.withResolvers<void>()
      let running = 0
      let most = 0
      const { runs } = newWorker(t, name, {
        shares: { default: 2 },
        concurrency: 8,
        async work({ tenant }) {
          if (tenant.id !== slow) return
          most = Math.max(most, ++running)
          await gate.promise
          running--
        },
      })
      await queue.forTenant(slow).addMany(Array.from({ length: 12 }, (_, n) => ({ name: 'job', payload: n })))
      await until(() => running === 2)
      for (let n = 0; n < 10; n++) await queue.forTenant(quick).add('job', n)
      await until(() => runs.filter((run) => run.tenant === quick).length === 10)
      t.equal(running, 2)
      gate.resolve()
      await until(() => runs.filter((run) => run.tenant === slow).length === 12)
      t.equal(most, 2)
      t.equal(runs.length, 22, 'each ran once')
    })

    t.test('under load, tenants get worker time by their tiers', async (t) => {
      const name = newName()
      const shares = { free: 2, pro: 6 }
      const queue = newQueue(name, { shares })
      const [free, pro] = [await newTenant(), await newTenant({ plan: 'pro' })]
      const jobs = Array.from({ length: 400 }, (_, n) => ({ name: 'job', payload: n }))
      await queue.forTenant(free).addMany(jobs)
      await queue.forTenant(pro).addMany(jobs)
      const { runs, worker } = newWorker(t, name, { shares, concurrency: 4, work: () => sleep(1) })
      await until(() => runs.length >= 300)
      await worker.close()
      const counted = count(runs.slice(0, 300).map((run) => run.tenant))
      const ratio = (counted[pro] ?? 0) / (counted[free] ?? 1)
      t.ok(ratio > 2 && ratio < 4.5, `${ratio} to 1`)
    })
  })
}
