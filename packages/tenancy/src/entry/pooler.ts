import { FreeholdError } from '@freehold/contract'
import type { PipelineOptions, Statement } from '@freehold/postgres'
import { APPLICATION_NAME } from '../connections/pooled-connection.ts'

/** How statements are run. */
export interface EntryOptions extends PipelineOptions {
  /** What stands between the router and the database; undefined: nothing. */
  readonly pooler?: 'transaction' | undefined
}

const UNPREPARED: PipelineOptions = { preparedStatements: false }

/**
 * How to run a statement in a schema of a tenant's own. A pooler that keeps track of prepared statements gives one
 * text one statement on the server, whatever names its clients have for it, and so would share it between schemas whose
 * tables may differ for a while.
 */
export function optionsIn(schema: string | undefined, options: EntryOptions): PipelineOptions {
  return options.pooler && schema !== undefined ? UNPREPARED : options
}

const statement = (text: string): Statement => ({ text, values: [] })

/**
 * Undoes in a session what a statement of unknown effect may have left there, before the transaction ends and the
 * session is somebody else's: DISCARD ALL, which is not allowed inside a transaction, by its parts.
 *
 * Deferred constraints and triggers fire first, while the tenant is still entered. Settings are reset last, because
 * the entry is one; what this client has told the pooler about itself is then set again. Statements prepared by SQL
 * are dropped one by one: a pooler keeps others in the same session, and counts on them.
 */
export const CLEANING: readonly Statement[] = [
  statement('set constraints all immediate'),
  statement('close all'),
  statement('unlisten *'),
  statement('select pg_catalog.pg_advisory_unlock_all()'),
  statement(`do $$
    declare prepared pg_catalog.name;
    begin
      for prepared in select name from pg_catalog.pg_prepared_statements where from_sql loop
        execute pg_catalog.format('deallocate %I', prepared);
      end loop;
    end $$`),
  statement('discard temp'),
  statement('discard sequences'),
  statement('set session authorization default'),
  statement('reset all'),
  statement(
    `select pg_catalog.set_config('client_encoding', 'UTF8', false),
       pg_catalog.set_config('application_name', '${APPLICATION_NAME}', false)`,
  ),
]

/** A statement or transaction for which a session of one's own is needed, where there is none. */
export function sessionRequired(message: string): FreeholdError {
  return new FreeholdError('session_required', message)
}

export function statementNeedsSession(): FreeholdError {
  return sessionRequired(
    'The statement would change the session, or end the transaction, and behind a pooler in transaction mode the ' +
      'session is somebody else’s a moment later. It was not sent.',
  )
}
