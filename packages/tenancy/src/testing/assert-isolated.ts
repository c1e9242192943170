import { AssertionError } from 'node:assert'
import type { DatabaseAddress } from '@freehold/postgres'
import type { Kysely } from 'kysely'
import { type FreeholdDatabase, outsideTenant, runInContext } from '../context/tenant-context.ts'
import { leavesOf } from './leaves.ts'
import { Recorder } from './recorder.ts'
import {
  pastRowSecurity,
  type ReadContent,
  readTenantTables,
  type TenantContent,
  type TenantTable,
  throughOwnEyes,
} from './tenant-content.ts'
import type { TestTenant, TwoTenants } from './two-tenants.ts'

export interface IsolationTrial extends TwoTenants {
  /**
   * What is tried, as each of the two: product code, or a request (`app.inject`) of that tenant. It is run several
   * times, alone and at the same time as the other, so it must be fit for that. Whatever it returns is examined.
   */
  readonly exercise: (db: Kysely<FreeholdDatabase>, tenant: TestTenant) => Promise<unknown>
  /**
   * A URL or address whose role is not bound by row security, to see what each tenant has; without it each tenant's
   * rows are read as that tenant.
   */
  readonly superuser?: string | DatabaseAddress
  /** Tables in which tenants have rows; those that freehold.managed_table declares unless set. */
  readonly tables?: readonly TenantTable[]
  /** Values that are shorter are not recognised: small numbers are everywhere. 6 characters unless set. */
  readonly minimumLength?: number
}

const MINIMUM_LENGTH = 6

/**
 * Runs the exercise as each of two tenants, and fails if anything crosses: if a value that stands only in rows of one
 * is in the rows that the other's queries return, in what its exercise returns, or in its error; or if rows of one
 * change while only the other runs. It runs as a, b, a, b, then as both at once, so what the first leaves in a cache,
 * a variable or a connection is met by the second.
 *
 * Queries are seen on the `db` that is passed and on `currentTenant().db`; of other connections it sees what the
 * exercise returns, and what they change.
 *
 * @throws AssertionError when something crosses, or when a tenant has no rows, so that nothing would be proven; what
 * the exercise throws.
 * @example
 * ```ts
 * const tenants = await seedTwoTenants({
 *   router,
 *   seed: (db, { marker }) => db.insertInto('orders').values({ total: marker }).execute(),
 * })
 * await assertIsolated({ ...tenants, exercise: (db) => db.selectFrom('orders').selectAll().execute() })
 * ```
 */
export async function assertIsolated(trial: IsolationTrial): Promise<void> {
  const { a, b, superuser, minimumLength = MINIMUM_LENGTH } = trial
  const tables = trial.tables ?? (await outsideTenant(() => readTenantTables(a)))
  const read =
    superuser === undefined
      ? throughOwnEyes(tables, minimumLength)
      : pastRowSecurity(superuser, tables, minimumLength)
  await assertSeeded(read, a, b)
  for (const [me, other] of [
    [a, b],
    [b, a],
    [a, b],
    [b, a],
  ] as const) {
    await runAlone(trial, read, me, other)
  }
  await runTogether(trial, read)
}

async function assertSeeded(read: ReadContent, a: TestTenant, b: TestTenant): Promise<void> {
  const [ofA, ofB] = [await read(a), await read(b)]
  for (const [tenant, own, foreign] of [
    [a, ofA, ofB],
    [b, ofB, ofA],
  ] as const) {
    if (only(own, foreign).size > 0) continue
    fail(
      `Tenant ${tenant.name} has no value that is only its own, so nothing would be proven. Seed rows with its marker.`,
    )
  }
}

async function runAlone(
  trial: IsolationTrial,
  read: ReadContent,
  me: TestTenant,
  other: TestTenant,
): Promise<void> {
  const [mine, before] = [await read(me), await read(other)]
  const evidence = await exercise(trial, me)
  await assertNothingOf(only(before, mine), evidence, me, other)
  assertUnchanged(before, await read(other), me, other)
  if (evidence.failed) throw evidence.error
}

async function runTogether(trial: IsolationTrial, read: ReadContent): Promise<void> {
  const { a, b } = trial
  const [ofA, ofB] = [await read(a), await read(b)]
  const [byA, byB] = await Promise.all([exercise(trial, a), exercise(trial, b)])
  await assertNothingOf(only(ofB, ofA), byA, a, b)
  await assertNothingOf(only(ofA, ofB), byB, b, a)
  for (const evidence of [byA, byB]) if (evidence.failed) throw evidence.error
}

/** What a run has shown to the tenant. */
interface Evidence {
  readonly rows: readonly unknown[]
  readonly returned: unknown
  readonly failed: boolean
  readonly error: unknown
}

async function exercise(trial: IsolationTrial, me: TestTenant): Promise<Evidence> {
  const recorder = new Recorder()
  const db = me.db.withPlugin(recorder)
  // Whoever calls assertIsolated may be inside a tenant itself.
  const tenant = await outsideTenant(() => me.router.tenant(me.id))
  try {
    const returned = await runInContext({ tenant, db }, () => trial.exercise(db, { ...me, db }))
    return { rows: recorder.rows, returned, failed: false, error: undefined }
  } catch (error) {
    return { rows: recorder.rows, returned: undefined, failed: true, error }
  }
}

/** The values of one that the other does not have as well. */
function only(own: TenantContent, foreign: TenantContent): Map<string, string> {
  return new Map([...own.values].filter(([value]) => !foreign.values.has(value)))
}

async function assertNothingOf(
  foreign: ReadonlyMap<string, string>,
  { rows, returned, error }: Evidence,
  me: TestTenant,
  other: TestTenant,
): Promise<void> {
  for (const [where, evidence] of [
    ['a query returned', rows],
    ['the exercise returned', returned],
    ['the error says', error],
  ] as const) {
    for await (const { text, path } of leavesOf(evidence)) {
      const value = recognise(text, foreign)
      if (value === undefined) continue
      const at = path === '' ? '' : ` at ${path}`
      fail(
        `As tenant ${me.name}, ${where}${at} a value that stands only in rows of tenant ${other.name}: ${JSON.stringify(value)} (${foreign.get(value)}).`,
        text,
      )
    }
  }
}

function recognise(text: string, foreign: ReadonlyMap<string, string>): string | undefined {
  if (foreign.has(text)) return text
  for (const value of foreign.keys()) if (value.length < text.length && text.includes(value)) return value
  return undefined
}

function assertUnchanged(
  before: TenantContent,
  after: TenantContent,
  me: TestTenant,
  other: TestTenant,
): void {
  for (const [table, rows] of before.state) {
    const now = after.state.get(table) ?? []
    if (rows.length === now.length && rows.every((row, index) => row === now[index])) continue
    const gone = rows.filter((row) => !now.includes(row)).length
    const come = now.filter((row) => !rows.includes(row)).length
    fail(
      `While only tenant ${me.name} ran, rows of tenant ${other.name} changed in ${table}: ${gone} gone or changed, ${come} new or changed.`,
      now,
      rows,
    )
  }
}

function fail(message: string, actual?: unknown, expected?: unknown): never {
  throw new AssertionError({ message, actual, expected, operator: 'assertIsolated', stackStartFn: fail })
}
