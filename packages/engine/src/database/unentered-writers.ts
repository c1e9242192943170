// Writers that row security does not bind need not enter, hold no lock of the tenant, and are not refused by its fence.

import { quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { TableShape } from './tables.ts'

/** Whoever holds one of these on a table has changed rows of it, or has it to itself for that. */
const MODES = `('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`

/**
 * Transactions that hold such a lock on one of some relations, and whose role could pass by row security: itself, as another role
 * that it may become, or as the owner of the table. Everybody else must enter to write, so others' sessions are left out without a
 * look at the locks that they hold by entering: `pg_locks` does not show all locks of one moment. A prepared transaction has
 * no session, and keeps the lock by which it entered.
 *
 * @param relations SQL of an array of object ids.
 */
export const unenteredWriters = (relations: string): string => `
  select written.pid, coalesce(session.usename, prepared.owner) as role,
    coalesce(nullif(session.application_name, ''), prepared.gid, 'unnamed') as application,
    written.relation::regclass::text as table
  from pg_locks written
  join pg_class class on class.oid = written.relation
  left join pg_stat_activity session on session.pid = written.pid
  left join pg_prepared_xacts prepared on written.pid is null and prepared.transaction = (
    select own.transactionid from pg_locks own
    where own.locktype = 'transactionid' and own.virtualtransaction = written.virtualtransaction and own.granted limit 1)
  where written.locktype = 'relation' and written.granted and written.mode in ${MODES}
    and written.database = (select oid from pg_database where datname = current_database())
    and written.relation = any (${relations})
    and written.pid is distinct from pg_backend_pid()
    and case when written.pid is null then not exists (
        select from pg_locks entered where entered.locktype = 'advisory' and entered.mode = 'ShareLock'
          and entered.virtualtransaction = written.virtualtransaction)
      else pg_has_role(session.usesysid, class.relowner, 'member') or exists (
        select from pg_roles bypassing where (bypassing.rolsuper or bypassing.rolbypassrls)
          and pg_has_role(session.usesysid, bypassing.oid, 'member'))
      end`

/** A transaction that writes to a tenant's tables and has not entered. */
export interface UnenteredWriter {
  /** null: it is prepared. */
  readonly pid: number | null
  readonly role: string
  readonly application: string
  readonly table: string
}

/** @returns the object ids of tables, and of their partitions. */
export async function relationsOf(
  client: ClientBase,
  tables: readonly Pick<TableShape, 'table'>[],
): Promise<readonly number[]> {
  const found = await client.query<{ oid: number }>(
    `select tree.relid::oid as oid from unnest($1::text[]::regclass[]) listed (relation)
     cross join lateral (select relid from pg_partition_tree(relation) union select relation) tree`,
    [tables.map(({ table }) => quoteTable(table))],
  )
  return found.rows.map(({ oid }) => oid)
}

/** @returns one of those that write to the relations now and have not entered, whichever tenant's rows they write. */
export async function findUnenteredWriter(
  client: ClientBase,
  relations: readonly number[],
): Promise<UnenteredWriter | undefined> {
  // Named: planning it would take longer than running it, and at the switch writers wait for it.
  const found = await client.query<UnenteredWriter>({
    name: 'unentered-writers',
    text: `${unenteredWriters('$1::oid[]')} limit 1`,
    values: [relations],
  })
  return found.rows[0]
}

/** What is said about such a writer. */
export function describeUnenteredWriter({ pid, role, application, table }: UnenteredWriter): string {
  const transaction =
    pid === null ? `The prepared transaction ${application}` : `Process ${pid} (${application})`
  return `${transaction} of role ${role} is writing to ${table} and has not entered as a tenant.`
}
