import type { TenantId } from '@freehold/contract'
import { type Compilable, type ControlledTransaction, type SqlBool, sql } from 'kysely'
import { Random } from './random.ts'
import type { Db, Loose, Scope } from './scope.ts'
import { select } from './selects.ts'
import { type Made, statement } from './statements.ts'

/** What came of a statement: rows as text, or why there are none. */
export interface Outcome {
  readonly sql: string
  readonly parameters: readonly unknown[]
  /** To be compared. */
  readonly result: string
}

/** A database, entered or not, as the tenant sees it. */
export interface Way {
  readonly name: string
  readonly db: Db
  /** Whether SQL that is written by hand has to name the tenant. */
  readonly handWritten: boolean
  /** Whether it can read rows a few at a time. */
  readonly streams: boolean
}

/**
 * Runs one piece of work: a statement, a stream, or a transaction with savepoints. The same seed makes the same work,
 * whatever it is run on; only what it finds there decides how a transaction goes on.
 */
export async function runScript(seed: string, tenant: TenantId, way: Way): Promise<Outcome[]> {
  const random = new Random(seed)
  const outcomes: Outcome[] = []
  if (random.chance(0.12)) await inTransaction(random, tenant, way, outcomes)
  else if (random.chance(0.04)) await streamed(random, tenant, way, outcomes)
  else await attempt(statement(newScope(random, tenant, way, way.db)), way.db, outcomes)
  return outcomes
}

function newScope(random: Random, tenant: TenantId, way: Way, db: Db): Scope {
  let names = 0
  return {
    random,
    db,
    from: db,
    tenant,
    byHand: (table) =>
      way.handWritten ? sql<SqlBool>`${sql.ref(table)}.tenant_id = ${tenant}` : sql<SqlBool>`true`,
    ctes: new Map(),
    visible: [],
    select,
    depth: 0,
    name: (prefix) => `${prefix}${++names}`,
  }
}

async function inTransaction(random: Random, tenant: TenantId, way: Way, outcomes: Outcome[]): Promise<void> {
  const begin = way.db.startTransaction()
  const trx: ControlledTransaction<Loose> = await (random.chance(0.2)
    ? begin.setIsolationLevel('repeatable read').execute()
    : begin.execute())
  const kept = random.chance(0.6)
  let savepoint: ControlledTransaction<Loose, string[]> | undefined
  let open = true
  try {
    for (let left = random.int(2, 5); left > 0 && open; left--) {
      if (!savepoint && random.chance(0.4)) savepoint = await trx.savepoint('here').execute()
      const done = await attempt(statement(newScope(random, tenant, way, trx)), trx, outcomes)
      if (savepoint && (!done || random.chance(0.3))) {
        await savepoint.rollbackToSavepoint('here').execute()
        savepoint = undefined
      } else if (!done) open = false
    }
  } finally {
    if (kept && open) await trx.commit().execute()
    else await trx.rollback().execute()
  }
}

async function streamed(random: Random, tenant: TenantId, way: Way, outcomes: Outcome[]): Promise<void> {
  const { query } = select(newScope(random, tenant, way, way.db))
  await settle(query, outcomes, async () => {
    if (!way.streams) return rowsAsText(await query.execute(), false)
    const rows: unknown[] = []
    for await (const row of query.stream(random.int(1, 5))) rows.push(row)
    return rowsAsText(rows, false)
  })
}

/** @returns whether it succeeded. */
async function attempt({ query, ordered }: Made, db: Db, outcomes: Outcome[]): Promise<boolean> {
  return settle(query, outcomes, async () => {
    const { rows, numAffectedRows } = await db.executeQuery(query.compile())
    return `${numAffectedRows === undefined ? '' : `${numAffectedRows} affected `}${rowsAsText(rows, ordered)}`
  })
}

async function settle(query: Compilable, outcomes: Outcome[], run: () => Promise<string>): Promise<boolean> {
  let compiled: Pick<Outcome, 'sql' | 'parameters'> = { sql: 'is not sent', parameters: [] }
  try {
    const { sql: text, parameters } = query.compile()
    compiled = { sql: text, parameters }
    outcomes.push({ ...compiled, result: await run() })
    return true
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    outcomes.push({ ...compiled, result: `fails with ${code}` })
    return false
  }
}

function rowsAsText(rows: readonly unknown[], ordered: boolean): string {
  const lines = rows.map((row) => JSON.stringify(row))
  return `${rows.length} rows\n${(ordered ? lines : lines.sort()).join('\n')}`
}
