// Row security and predicates each hold alone, for every kind of query; without both, every attempt succeeds.

import { tenantIdSchema } from '@freehold/contract'
import { createRouter, type RouterOptions } from '@freehold/tenancy'
import type { Kysely } from 'kysely'
import t from 'tap'
import { startPreparedCluster } from '../kit/control-plane.ts'
import { ControlledSource, type TestDatabase, testEntrySecret } from '../kit/tenants.ts'
import type { Attempt } from './attempts/attempt.ts'
import { RAW } from './attempts/raw.ts'
import { READS } from './attempts/reads.ts'
import { WRITES } from './attempts/writes.ts'
import { contentOf, createSharedDatabase, refill } from './fuzz/databases.ts'
import { type FuzzTables, TABLES } from './fuzz/tables.ts'

const TIMEOUT_MS = 300_000
t.setTimeout(TIMEOUT_MS)
const attacker = tenantIdSchema.parse('00000000-0000-4000-8000-00000000000a')
const victim = tenantIdSchema.parse('00000000-0000-4000-8000-00000000000b')
const tenants = [attacker, victim]
const prepared = await startPreparedCluster('walls')
t.teardown(() => prepared.cluster.remove())
const [secured, bare] = await Promise.all([
  createSharedDatabase(prepared, 'secured', 'protected', tenants),
  createSharedDatabase(prepared, 'bare', 'disabled', tenants),
])

interface Ground {
  readonly database: TestDatabase
  readonly db: Kysely<FuzzTables>
  readonly of: Kysely<FuzzTables>
}

function ground(database: TestDatabase, options: Partial<RouterOptions> = {}): Ground {
  const source = new ControlledSource()
  for (const tenant of tenants) source.place(database, tenant)
  const router = createRouter<FuzzTables>({ source, entrySecret: testEntrySecret, ...options })
  t.teardown(() => router.close())
  return { database, db: router.forTenant(attacker), of: router.forTenant(victim) }
}

const both = ground(secured, { tables: TABLES })
const rowSecurity = ground(secured)
const predicates = ground(bare, { tables: TABLES })
const neither = ground(bare)

const untouched = await contentOf(bare, victim)

/** @returns how the attempt ended, and whether it has reached anything of the victim's. */
async function tryOn({ db, of }: Ground, attempt: Attempt): Promise<{ reached: boolean; end: string }> {
  let end = 'done'
  let found: unknown
  try {
    found = await attempt.run(db, victim, attacker, of)
  } catch (error) {
    end = error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
  const told = JSON.stringify(found, (_, value) => (typeof value === 'bigint' ? String(value) : value)) ?? ''
  return { reached: told.includes(victim), end }
}

/** The same for a write, which may reach the victim's rows as well. */
async function tryWrite(on: Ground, attempt: Attempt): Promise<{ reached: boolean; end: string }> {
  await refill(on.database, tenants)
  const { reached, end } = await tryOn(on, attempt)
  return { reached: reached || (await contentOf(on.database, victim)) !== untouched, end }
}

/** How an attempt may end where a wall stands: it finds its own rows only, or is refused. */
const HELD = new Set(['done', '42501', '23502', '23505', 'foreign_tenant_id', 'tenant_not_checkable'])

for (const [name, attempts, tried] of [
  ['reads', READS, tryOn],
  ['writes', WRITES, tryWrite],
] as const) {
  t.test(`${name}, with one wall, the other, and both`, { timeout: TIMEOUT_MS }, async (t) => {
    for (const attempt of attempts) {
      for (const [wall, held] of [
        ['row security', rowSecurity],
        ['predicates', predicates],
        ['both', both],
      ] as const) {
        const { reached, end } = await tried(held, attempt)
        t.notOk(reached, `${attempt.name}: ${wall}`)
        t.ok(HELD.has(end), `${attempt.name}: ${wall}: ${end}`)
      }
      const { reached, end } = await tried(neither, attempt)
      t.ok(reached, `counter-test: ${attempt.name}: without a wall (${end})`)
    }
  })
}

t.test('raw SQL is for row security alone', async (t) => {
  for (const attempt of RAW) {
    t.notOk((await tryWrite(rowSecurity, attempt)).reached, `${attempt.name}: row security`)
    t.notOk((await tryWrite(both, attempt)).reached, `${attempt.name}: both`)
    const { reached, end } = await tryWrite(predicates, attempt)
    t.ok(reached, `${attempt.name}: predicates do not see it (${end})`)
  }
})
