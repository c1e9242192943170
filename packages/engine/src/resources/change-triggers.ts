import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError } from '@freehold/contract'
import {
  hasSqlState,
  inTransaction,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
  SQLSTATE,
  type TableName,
} from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { outwaitAutovacuum } from '../database/autovacuum.ts'
import { tableKey } from '../database/table-key.ts'
import type { TableShape } from '../database/tables.ts'
import type { Patience } from '../stream/change-stream.ts'

/** Whoever else uses the table waits behind a lock that is waited for, so each try is short. */
const LOCK_TIMEOUT_MS = 50
const PAUSE_MS = 100
/** How long the removal waits for a moment in which nobody uses a table; it is tried again later. */
const REMOVAL_PATIENCE_MS = 30_000

/** Nobody can be the mover and enter a tenant but who has the entry secret: Freehold's appliers. */
const NOT_BROUGHT = "current_user <> 'freehold_mover'"

/** Types whose text does not depend on the session's settings. */
const PLAIN = /^(uuid|smallint|integer|bigint|boolean|text|character|numeric)\b/

/**
 * Has every change of one tenant's rows noted in `freehold.change`, from the moment on at which this returns. The
 * triggers fire for whoever writes, replication included, and for no other tenant's rows. Those of a partitioned table
 * are its partitions', present and future. What the mover writes is not noted: it has come from where it would be carried to.
 *
 * @param owner connected as the owner of the tables.
 * @param name names the triggers, and the rows of `freehold.change`.
 * @throws FreeholdError `source_busy` when a table is never free for a moment, or the reason of the signal.
 */
export async function createChangeTriggers(
  owner: ClientBase,
  name: string,
  tables: readonly TableShape[],
  tenantId: string,
  patience: Patience,
): Promise<void> {
  await dropChangeTriggers(owner, name)
  for (const shape of tables) {
    await withTableLocked(owner, shape.table, 'share row exclusive', patience, async () => {
      // What the conditions compare with is bound here and stays: not what somebody has put into another schema.
      await owner.query('set local search_path = pg_catalog, pg_temp')
      await owner.query(triggersSql(name, shape, tenantId))
    })
  }
}

/** Removes the triggers, if there are any, and what they have noted. Safe to run twice. */
export async function dropChangeTriggers(owner: ClientBase, name: string): Promise<void> {
  const found = await owner.query<TableName & { triggers: string[] }>(
    `select namespace.nspname as schema, class.relname as name, array_agg(trigger.tgname::text) as triggers
     from pg_trigger trigger
     join pg_class class on class.oid = trigger.tgrelid
     join pg_namespace namespace on namespace.oid = class.relnamespace
     where trigger.tgname = any ($1) and trigger.tgparentid = 0
     group by 1, 2`,
    [[...rowTriggers(name), truncateTrigger(name)]],
  )
  const patience = { timeoutMs: REMOVAL_PATIENCE_MS, signal: new AbortController().signal }
  for (const { triggers, ...table } of found.rows) {
    await withTableLocked(owner, table, 'access exclusive', patience, async () => {
      const drops = triggers.map(
        (trigger) => `drop trigger if exists ${quoteIdentifier(trigger)} on ${quoteTable(table)}`,
      )
      await owner.query(drops.join('; '))
    })
  }
  await owner.query('delete from freehold.change where stream = $1', [name])
}

/** What the triggers of a stream are, and whether they are at work. */
export interface ChangeTriggers {
  /** The tables, as `quoteTable` writes them, in which nothing can change unseen. */
  readonly carried: ReadonlySet<string>
  /** Differs as soon as one has been made, dropped, disabled or enabled. */
  readonly version: string
}

/** The statement that reads {@link ChangeTriggers}, one row a table; {@link toChangeTriggers} takes its rows. */
export function changeTriggersQuery(name: string, tables: readonly TableShape[]) {
  return {
    text: `
      with member as (
        select named.name, coalesce(tree.relid, to_regclass(named.name))::oid as relid
        from unnest($1::text[]) named (name)
        left join lateral pg_partition_tree(to_regclass(named.name)) tree on true
      ),
      watched as (
        select member.name, member.relid, count(*) filter (where trigger.tgenabled = 'A') = cardinality($2) as complete,
          string_agg(format('%s %s', trigger.oid, trigger.xmin), ' ' order by trigger.oid) as version
        from member left join pg_trigger trigger on trigger.tgrelid = member.relid and trigger.tgname = any ($2)
        group by 1, 2
      )
      select name, bool_and(complete) as carried, coalesce(md5(string_agg(version, ' ' order by relid)), '') as version
      from watched group by 1 order by 1`,
    values: [tables.map(({ table }) => quoteTable(table)), rowTriggers(name)],
  }
}

export interface ChangeTriggersRow {
  readonly name: string
  readonly carried: boolean
  readonly version: string
}

export function toChangeTriggers(rows: readonly ChangeTriggersRow[]): ChangeTriggers {
  return {
    carried: new Set(rows.filter(({ carried }) => carried).map(({ name }) => name)),
    version: rows.map(({ version }) => version).join(' '),
  }
}

function rowTriggers(name: string): string[] {
  return ['insert', 'update', 'delete'].map((event) => `${name}_${event}`)
}

function truncateTrigger(name: string): string {
  return `${name}_truncate`
}

function triggersSql(name: string, shape: TableShape, tenantId: string): string {
  const table = quoteTable(shape.table)
  const column = quoteIdentifier(shape.tenantColumn)
  const tenant = quoteLiteral(tenantId)
  const key = shape.primaryKey.map((part) => `($1).${quoteIdentifier(part.name)}::text`)
  const args = [
    name,
    tenantId,
    table,
    `select array[${key.join(', ')}]`,
    String(shape.primaryKey.findIndex((part) => part.name === shape.tenantColumn) + 1),
    shape.primaryKey.every(({ type }) => PLAIN.test(type)) ? 'plain' : 'exact',
  ]
  const record = `execute function freehold.record_change(${args.map(quoteLiteral).join(', ')})`
  const trigger = (event: string, when: string) => `
    create trigger ${quoteIdentifier(`${name}_${event}`)} after ${event} on ${table} ${when} ${record};
    alter table ${table} enable always trigger ${quoteIdentifier(`${name}_${event}`)};
    comment on trigger ${quoteIdentifier(`${name}_${event}`)} on ${table}
      is 'Notes what changes of a tenant that Freehold is moving; dropped when the move ends.';`
  return [
    trigger('insert', `for each row when (new.${column} = ${tenant} and ${NOT_BROUGHT})`),
    trigger(
      'update',
      `for each row when ((old.${column} = ${tenant} or new.${column} = ${tenant}) and ${NOT_BROUGHT})`,
    ),
    trigger('delete', `for each row when (old.${column} = ${tenant} and ${NOT_BROUGHT})`),
    trigger('truncate', 'for each statement'),
  ].join('')
}

/**
 * Does something in a transaction that holds a lock of the table, once there is a moment for it. An autovacuum, of which there is
 * none for hours on a large table, is kept off first: nobody who reads or writes waits behind the lock that does that.
 */
async function withTableLocked(
  owner: ClientBase,
  table: TableName,
  mode: 'share row exclusive' | 'access exclusive',
  { timeoutMs, signal }: Patience,
  work: () => Promise<void>,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    signal.throwIfAborted()
    try {
      return await inTransaction(owner, async () => {
        await outwaitAutovacuum(owner)
        await owner.query(`lock table ${quoteTable(table)} in share update exclusive mode`)
        await owner.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`)
        await owner.query(`lock table ${quoteTable(table)} in ${mode} mode`)
        await work()
      })
    } catch (error) {
      if (!hasSqlState(error, SQLSTATE.lockNotAvailable, SQLSTATE.deadlockDetected)) throw error
      if (performance.now() > deadline) {
        throw new FreeholdError(
          'source_busy',
          `Transactions of the source have held table ${tableKey(table)} for ${timeoutMs / 1000} s without a gap.`,
          { cause: error },
        )
      }
    }
    await sleep(PAUSE_MS * (0.5 + Math.random()))
  }
}
