import type { DoctorFinding } from '@freehold/contract'
import { quoteIdentifier } from '@freehold/postgres'
import pg, { type ClientBase } from 'pg'
import { tenantTables } from '../check.ts'
import type { Facts, Table } from '../facts/model.ts'
import { type Attempt, attemptsOn } from './attempts.ts'
import { notTried, succeeded } from './findings.ts'
import { type Seeded, seedTables } from './seed.ts'
import { admit, enter, makePair, type TenantPair } from './synthetic-tenants.ts'

/** What two synthetic tenants have tried, and what came of it. */
export interface Trial {
  readonly as: string | null
  readonly tables: readonly string[]
  readonly attempts: number
  readonly findings: readonly DoctorFinding[]
  readonly limits: readonly string[]
}

/** A trial in which nothing was tried. */
export function noTrial(...limits: string[]): Trial {
  return { as: null, tables: [], attempts: 0, findings: [], limits }
}

const LIMITS = `set local lock_timeout = '2s'; set local statement_timeout = '30s';
  set local idle_in_transaction_session_timeout = '60s'`

/**
 * Lets two tenants that do not exist try to reach each other's rows in every tenant table, as the role of the
 * application. All of it happens in one transaction that is rolled back; sequences are not asked, triggers do not
 * fire where this connection may keep them from it, and every statement is held to rows of the two.
 *
 * @param progress is told what is being tried.
 */
export async function tryToCross(
  client: ClientBase,
  facts: Facts,
  progress: (message: string) => void,
): Promise<Trial> {
  const tables = tenantTables(facts).filter(({ root }) => root === null)
  await client.query('begin')
  try {
    await client.query(LIMITS)
    return await new Crossing(client, facts, progress).run(tables)
  } finally {
    await client.query('rollback')
  }
}

class Crossing {
  readonly #client: ClientBase
  readonly #facts: Facts
  readonly #progress: (message: string) => void
  readonly #findings: DoctorFinding[] = []
  readonly #limits: string[] = []
  #attempts = 0

  constructor(client: ClientBase, facts: Facts, progress: (message: string) => void) {
    this.#client = client
    this.#facts = facts
    this.#progress = progress
  }

  async run(tables: readonly Table[]): Promise<Trial> {
    const { name } = this.#facts.app
    const isOther = this.#facts.connectedAs !== name
    const becomes = isOther && (await this.#succeeds(`set local role ${quoteIdentifier(name)}`))
    if (isOther && !becomes) {
      this.#limits.push(
        `${this.#facts.connectedAs} may not SET ROLE ${name}: the trial runs as ${this.#facts.connectedAs}, so it shows what row security does and not what rights ${name} has.`,
      )
    }
    const quiet = await this.#attempt(`set local session_replication_role = replica`)
    if (!quiet)
      this.#limits.push(`${this.#facts.connectedAs} may not keep triggers from firing during the trial.`)

    const pairs = new Map<string, TenantPair | undefined>()
    const pairFor = (table: Table) => this.#pairFor(table, pairs)
    const refusal = await this.#admit(tables, pairFor, pairs)
    if (refusal !== undefined) {
      return this.#result(null, [], [notTried(`database ${this.#facts.database}`, refusal)])
    }
    this.#progress(`making rows of two tenants in ${tables.length} tables`)
    const { seeded, failures } = await seedTables(this.#client, this.#facts, pairFor)
    for (const { table, reason } of failures) this.#findings.push(notTried(table.label, reason))

    for (const [index, one] of seeded.entries()) {
      this.#progress(`trying ${one.table.label} (${index + 1} of ${seeded.length})`)
      await this.#tryTable(seeded, one, becomes ? name : undefined, quiet)
    }
    const known = new Set([...seeded.map(({ table }) => table), ...failures.map(({ table }) => table)])
    for (const table of tables.filter((one) => !known.has(one))) {
      this.#findings.push(notTried(table.label, 'no row could be made to which its rows refer'))
    }
    const as = becomes || !isOther ? name : this.#facts.connectedAs
    return this.#result(
      as,
      seeded.map(({ table }) => table.label),
      [],
    )
  }

  async #tryTable(
    all: readonly Seeded[],
    one: Seeded,
    role: string | undefined,
    quiet: boolean,
  ): Promise<void> {
    if (!(await this.#seesOwn(one, role))) {
      this.#findings.push(
        notTried(
          one.table.label,
          this.#facts.tenantSettings.length === 0 && !this.#facts.hasFreehold
            ? 'no policy names a setting by which a tenant is entered; name it: --setting app.tenant_id'
            : 'a tenant does not even see its own row there, so that nothing else is seen proves nothing',
        ),
      )
    }
    const seen = new Set<string>()
    for (const attempt of attemptsOn(this.#facts, all, one)) {
      const outcome = await this.#try(attempt, role, quiet)
      const key = `${attempt.id} ${attempt.object}`
      if (outcome === 'refused' || seen.has(key)) continue
      seen.add(key)
      this.#findings.push(
        outcome === 'succeeded' ? succeeded(attempt) : notTried(attempt.object, outcome.reason),
      )
    }
  }

  /** Where a tenant does not see its own row, that it sees no other's proves nothing. */
  async #seesOwn({ table, pair }: Seeded, role: string | undefined): Promise<boolean> {
    // In the schema of one tenant nobody is at home who lives in the shared tables.
    if (!table.rights.select || this.#facts.tenantSchemas?.includes(table.schema) === true) return true
    const column = quoteIdentifier(table.tenantColumn ?? '')
    const outcome = await this.#try(
      {
        id: '',
        object: '',
        found: '',
        as: pair[0],
        sql: `select from ${table.sql} where ${column}::text = $1`,
        values: [pair[0].id],
      },
      role,
      true,
    )
    return outcome === 'succeeded'
  }

  async #try(
    attempt: Attempt,
    role: string | undefined,
    quiet: boolean,
  ): Promise<'succeeded' | 'refused' | { reason: string }> {
    this.#attempts++
    const client = this.#client
    await client.query('savepoint freehold_attempt')
    try {
      await enter(client, this.#facts, attempt.as)
      if (attempt.withForeignKeys && quiet) await client.query('set local session_replication_role = origin')
      if (role !== undefined) await client.query(`set local role ${quoteIdentifier(role)}`)
      const { rowCount } = await client.query(attempt.sql, [...attempt.values])
      return (rowCount ?? 0) > 0 ? 'succeeded' : 'refused'
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error
      if (error.code !== undefined && attempt.toldBy?.includes(error.code)) return 'succeeded'
      if (error.code === '57014' || error.code === '55P03') return { reason: error.message }
      return 'refused'
    } finally {
      await client.query('rollback to savepoint freehold_attempt; release savepoint freehold_attempt')
    }
  }

  #pairFor(table: Table, pairs: Map<string, TenantPair | undefined>): TenantPair | undefined {
    const column =
      table.columns.find(({ name }) => name === table.tenantColumn) ??
      this.#facts.tables.flatMap((one) => one.columns.filter(({ name }) => name === one.tenantColumn)).at(0)
    if (!column) return undefined
    if (!pairs.has(column.type)) pairs.set(column.type, makePair(column))
    return pairs.get(column.type)
  }

  /** @returns why no tenant could be made up. */
  async #admit(
    tables: readonly Table[],
    pairFor: (table: Table) => TenantPair | undefined,
    pairs: ReadonlyMap<string, TenantPair | undefined>,
  ): Promise<string | undefined> {
    for (const table of tables) pairFor(table)
    if (!this.#facts.hasFreehold) return undefined
    await this.#client.query('savepoint freehold_admit')
    try {
      for (const pair of pairs.values()) if (pair) await admit(this.#client, pair)
      return undefined
    } catch (error) {
      await this.#client.query('rollback to savepoint freehold_admit')
      if (!(error instanceof pg.DatabaseError)) throw error
      return `${this.#facts.connectedAs} could not make two tenants up in freehold.resident (${error.message}); let the trial run as a member of freehold_owner`
    }
  }

  /** Whether a statement is allowed; its effect is undone. */
  async #succeeds(sql: string): Promise<boolean> {
    await this.#client.query('savepoint freehold_probe')
    try {
      await this.#client.query(sql)
      return true
    } catch {
      return false
    } finally {
      await this.#client.query('rollback to savepoint freehold_probe; release savepoint freehold_probe')
    }
  }

  /** Runs a statement that may be refused, and keeps its effect. */
  async #attempt(sql: string): Promise<boolean> {
    if (!(await this.#succeeds(sql))) return false
    await this.#client.query(sql)
    return true
  }

  #result(as: string | null, tables: readonly string[], more: readonly DoctorFinding[]): Trial {
    return {
      as,
      tables,
      attempts: this.#attempts,
      findings: [...this.#findings, ...more],
      limits: this.#limits,
    }
  }
}
