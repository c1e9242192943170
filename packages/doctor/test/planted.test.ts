import { diagnose, fixScript } from '@freehold/doctor'
import type { DatabaseAddress } from '@freehold/postgres'
import t from 'tap'
import { createDataDatabase } from '../../../test/kit/databases.ts'
import { checks } from '../src/checks/index.ts'
import { planted } from './planted.ts'
import { openShop } from './shop-database.ts'

const shop = await openShop()
t.teardown(() => shop.prepared.cluster.remove())
const { cluster, passwords } = shop.prepared
const superuser = (database: string): DatabaseAddress => cluster.address(database)
await createDataDatabase(cluster, passwords, 'pool')

const forShop = { referenceTables: ['countries'] }

/** Some ninety databases, each examined twice, also on a busy machine. */
const TIMEOUT_MS = 280_000
t.setTimeout(TIMEOUT_MS)

t.test(
  'every planted defect is found, and mended by the SQL that is printed',
  { timeout: TIMEOUT_MS },
  async (t) => {
    for (const [index, defect] of planted.entries()) {
      await t.test(`${index} ${defect.check}: ${defect.sql.slice(0, 60)}`, async (t) => {
        const address = await plantedDatabase(`planted_${index}`, defect.inFreehold === true)
        const options =
          defect.inFreehold === true
            ? { allow: ['server-version'] }
            : { ...forShop, appRole: defect.appRole ?? 'shop_app', allow: ['server-version'] }
        await shop.run(address, defect.sql)
        try {
          const found = await diagnose(shop.asDoctor(address), options)
          const finding = found.findings.find(
            ({ check, object }) => check === defect.check && defect.object.test(object),
          )
          t.ok(finding, JSON.stringify(found.findings, null, 1))
          if (defect.severity) t.equal(finding?.severity, defect.severity)
          const all = found.findings.map(({ check }) => check)
          for (const check of defect.also ?? []) t.ok(all.includes(check), `${check} in ${all.join(' ')}`)

          const script = fixScript(found)
          if (defect.mended === false) return t.same(finding?.sql, [])
          t.ok(script)
          await shop.run(address, script ?? '')
          const left = await diagnose(shop.asDoctor(address), options)
          const remaining = left.findings.filter(({ check }) => check !== 'policy-trusts-setting')
          t.same(remaining, [], script ?? '')
          return
        } finally {
          if (defect.undo) await shop.run(superuser('postgres'), defect.undo)
        }
      })
    }
  },
)

t.test('there is a planted defect for every check', async (t) => {
  const covered = new Set(planted.map(({ check }) => check))
  const missing = checks.map(({ id }) => id).filter((id) => !covered.has(id))
  t.same(missing, ['server-version'], 'which has a test of its own')
  t.equal(new Set(checks.map(({ id }) => id)).size, checks.length)
  for (const { id, why, fix } of checks) {
    t.match(id, /^[a-z]+(-[a-z]+)*$/)
    t.match(why, /\.$/, id)
    t.match(fix, /\.$/, id)
  }
})

async function plantedDatabase(name: string, inFreehold: boolean): Promise<DatabaseAddress> {
  if (!inFreehold) return shop.copy(name)
  await shop.run(superuser('postgres'), `create database ${name} owner freehold_owner template pool`)
  return superuser(name)
}
