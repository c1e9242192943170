import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FreeholdError } from '@freehold/contract'
import pg, { type ClientBase } from 'pg'
import { quoteIdentifier } from './quoting.ts'
import { inTransaction } from './transaction.ts'

/** A numbered SQL file. */
export interface Migration {
  readonly number: number
  readonly name: string
  /** Of its text, SHA-256 in hexadecimal. */
  readonly digest: string
  readonly sql: string
}

/**
 * Applies the numbered SQL files (`0001_name.sql`) of a folder that the database does not have yet, each in a
 * transaction of its own, in order. Safe to run twice and from two processes at once: an advisory lock that
 * belongs to this history and database makes the second wait.
 *
 * @param history names the table in the schema `freehold_migrations` where what was applied is kept: a schema of its
 * own, so that it is not taken for a table of the product.
 * @returns the names of the files applied now.
 * @throws FreeholdError `migration_failed` when the server refuses a statement for what it says; Error when an applied file has since been changed or removed, or when the numbers have a gap.
 */
export async function migrate(client: ClientBase, folder: string, history: string): Promise<string[]> {
  const migrations = await readMigrations(folder)
  const table = `freehold_migrations.${quoteIdentifier(history)}`
  const lock = `freehold-migrate-${history}`
  await client.query('select pg_advisory_lock(hashtextextended($1, 0))', [lock])
  try {
    await client.query('create schema if not exists freehold_migrations')
    await client.query(
      `create table if not exists ${table} (
        number integer primary key, name text not null, digest text not null,
        applied_at timestamptz not null default clock_timestamp())`,
    )
    const applied = await client.query<{ number: number; name: string; digest: string }>(
      `select number, name, digest from ${table} order by number`,
    )
    for (const row of applied.rows) refuseChange(row, migrations[row.number - 1], folder)
    const missing = migrations.slice(applied.rows.length)
    for (const migration of missing) {
      await inTransaction(client, async () => {
        await client.query(migration.sql).catch((error: unknown) => {
          throw refusedMigration(migration, error)
        })
        await client.query(`insert into ${table} (number, name, digest) values ($1, $2, $3)`, [
          migration.number,
          migration.name,
          migration.digest,
        ])
      })
    }
    return missing.map((migration) => migration.name)
  } finally {
    await client.query('select pg_advisory_unlock(hashtextextended($1, 0))', [lock]).catch(() => undefined)
  }
}

/** About the statement: syntax, names, rights. Of these a message quotes no values. */
const ABOUT_THE_STATEMENT = /^(42|0A)/
/** About rows that are there, or raised by the migration itself. */
const ABOUT_THE_DATA = /^(2[1-7BF]|44|P0)/

/** Tried again, it would be refused again. Anything else passes as it is. */
function refusedMigration({ name }: Migration, error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return error
  const isAboutTheStatement = ABOUT_THE_STATEMENT.test(error.code)
  if (!isAboutTheStatement && !ABOUT_THE_DATA.test(error.code)) return error
  const said = isAboutTheStatement ? `: ${error.message}` : ''
  return new FreeholdError(
    'migration_failed',
    `Migration ${name} was refused${said} (SQLSTATE ${error.code}).`,
    {
      cause: error,
      details: { migration: name, sqlstate: error.code },
    },
  )
}

/**
 * Reads the numbered SQL files of a folder, in order.
 *
 * @throws Error when a number is missing.
 */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort()
  return Promise.all(
    files.map(async (name, index) => {
      const number = Number(/^(\d{4})_/.exec(name)?.[1])
      if (number !== index + 1) {
        throw new Error(`${folder}/${name}: expected a file numbered ${String(index + 1).padStart(4, '0')}_`)
      }
      const sql = await readFile(join(folder, name), 'utf8')
      return { number, name, sql, digest: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}

function refuseChange(
  applied: { name: string; digest: string },
  file: Migration | undefined,
  folder: string,
): void {
  if (file?.name === applied.name && file.digest === applied.digest) return
  throw new Error(
    `${folder}/${applied.name} was applied to this database and has since been changed or removed. ` +
      'Restore it, and put the change into a new migration.',
  )
}
