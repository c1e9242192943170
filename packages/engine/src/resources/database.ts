import { hasSqlState, quoteIdentifier, SQLSTATE } from '@freehold/postgres'
import type { ClientBase } from 'pg'

/** The database that every cluster has: where others are created from and sizes are asked for. */
export const MAINTENANCE_DATABASE = 'postgres'

/**
 * Creates a database that only Freehold's roles may connect to. Safe to run twice.
 *
 * @param template what it is to be a copy of, if not an empty database.
 */
export async function createDatabase(
  maintenance: ClientBase,
  name: string,
  template?: string,
): Promise<void> {
  await createMissing(maintenance, name, template)
  await closeToOthers(maintenance, name)
}

/**
 * Creates a database as {@link createDatabase} does, unless there is one of this name, which is left as it is.
 *
 * @returns whether it has been created.
 */
export async function createNewDatabase(maintenance: ClientBase, name: string): Promise<boolean> {
  if (!(await createMissing(maintenance, name))) return false
  await closeToOthers(maintenance, name)
  return true
}

async function createMissing(maintenance: ClientBase, name: string, template?: string): Promise<boolean> {
  const copied = template === undefined ? '' : ` template ${quoteIdentifier(template)}`
  try {
    await maintenance.query(`create database ${quoteIdentifier(name)}${copied}`)
    return true
  } catch (error) {
    if (!hasSqlState(error, SQLSTATE.duplicateDatabase, SQLSTATE.uniqueViolation)) throw error
    return false
  }
}

async function closeToOthers(maintenance: ClientBase, name: string): Promise<void> {
  const database = quoteIdentifier(name)
  await maintenance.query(`revoke connect, temporary on database ${database} from public`)
  await maintenance.query(`grant connect on database ${database} to freehold_mover, freehold_app`)
}

/** Removes a database, and disconnects whoever is still connected to it. Safe to run twice. */
export async function dropDatabase(maintenance: ClientBase, name: string): Promise<void> {
  await maintenance.query(`drop database if exists ${quoteIdentifier(name)} with (force)`)
}
