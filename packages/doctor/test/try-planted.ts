import { diagnose, fixScript } from '@freehold/doctor'
import type { DatabaseAddress } from '@freehold/postgres'
import type { Test } from 'tap'
import { createDataDatabase } from '../../../test/kit/databases.ts'
import { plantedInFreehold } from './planted-in-freehold.ts'
import { plantedInProduct } from './planted-in-product.ts'
import { openShop } from './shop-database.ts'

/** Up to fifty databases, each examined twice, also on a busy machine. */
export const TIMEOUT_MS = 280_000

const forShop = { referenceTables: ['countries'] }

/** Plants each defect in a database of its own, which the doctor has to find and the printed SQL has to mend. */
export async function tryPlanted(t: Test, where: { readonly inFreehold: boolean }): Promise<void> {
  const shop = await openShop()
  t.teardown(() => shop.prepared.cluster.remove())
  const { cluster, passwords } = shop.prepared
  if (where.inFreehold) await createDataDatabase(cluster, passwords, 'pool')

  async function plantedDatabase(name: string): Promise<DatabaseAddress> {
    if (!where.inFreehold) return shop.copy(name)
    await shop.run(cluster.address('postgres'), `create database ${name} owner freehold_owner template pool`)
    return cluster.address(name)
  }

  const planted = where.inFreehold ? plantedInFreehold : plantedInProduct
  for (const [index, defect] of planted.entries()) {
    await t.test(`${index} ${defect.check}: ${defect.sql.slice(0, 60)}`, async (t) => {
      const address = await plantedDatabase(`planted_${index}`)
      const options = where.inFreehold
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
        if (defect.undo) await shop.run(cluster.address('postgres'), defect.undo)
      }
    })
  }
}
