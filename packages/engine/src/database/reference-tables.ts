// Reference tables: the same rows for every tenant. A database or schema of a tenant's own has a copy of them.

import { pipeline } from 'node:stream/promises'
import { FreeholdError } from '@freehold/contract'
import {
  hasSqlState,
  inTransaction,
  quoteIdentifier,
  quoteTable,
  SQLSTATE,
  type SqlState,
  violatedConstraint,
} from '@freehold/postgres'
import type pg from 'pg'
import type { ClientBase } from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import { type Comparison, isEqual, sharedTableChecksums, zipChecksums } from './checksum.ts'
import { alignSequences, openSequences, pairSequences, readSequences } from './sequences.ts'
import type { TablePair, TableShape } from './tables.ts'

const LOCK_TIMEOUT_MS = 5_000
const REFERRED_TO = [SQLSTATE.foreignKeyViolation, SQLSTATE.restrictViolation]
const TAKEN = [SQLSTATE.uniqueViolation, SQLSTATE.exclusionViolation]

/** Compares all rows of reference tables at both ends. */
export async function compareReferences(
  source: ClientBase,
  target: ClientBase,
  pairs: readonly TablePair[],
): Promise<Comparison[]> {
  const checksums = await Promise.all([
    sharedTableChecksums(source, sides(pairs, 'source')),
    sharedTableChecksums(target, sides(pairs, 'target')),
  ])
  return zipChecksums(
    pairs.map((tables) => ({ tables, range: {} })),
    checksums,
  )
}

const sides = (pairs: readonly TablePair[], side: keyof TablePair): TableShape[] =>
  pairs.map((pair) => pair[side])

/** Removes what the migrations have put into tables that nobody refers to yet. */
export async function emptyReferences(owner: ClientBase, pairs: readonly TablePair[]): Promise<void> {
  if (pairs.length === 0) return
  await owner.query(`truncate ${pairs.map(({ target }) => quoteTable(target.table)).join(', ')}`)
}

/**
 * Makes the rows of reference tables at the target what they are at the source, in one transaction; a row that is there with
 * the same key is changed in place, because rows of the tenant may refer to it. No trigger of theirs fires, and nothing is done by
 * which a foreign key would delete or change rows that refer to them.
 *
 * @param source in a transaction with one snapshot.
 * @param owner connected as the owner of the target's tables, in no transaction.
 * @param hold what else has to be the case until the transaction ends.
 * @throws FreeholdError `foreign_key_broken` when rows refer to one that the source does not have, or might and would be
 * deleted or changed along with it;
 * `verification_failed` when the rows cannot be made the same. Nothing is changed then.
 */
export async function copyReferences(
  source: pg.Client,
  owner: pg.Client,
  pairs: readonly TablePair[],
  hold: () => Promise<void> = async () => undefined,
): Promise<void> {
  if (pairs.length === 0) return
  try {
    await inTransaction(owner, async () => {
      await hold()
      await owner.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`)
      const names = sides(pairs, 'target').map(({ table }) => quoteTable(table))
      await owner.query(`lock table ${names.join(', ')} in share row exclusive mode`)
      await withoutTriggers(owner, names, () => mergeAll(source, owner, pairs))
      const different = (await compareReferences(source, owner, pairs)).find((each) => !isEqual(each))
      if (different !== undefined) throw notTheSame(different.tables.target.key)
    })
  } catch (error) {
    throw brokenForeignKey(error) ?? unmergeable(error) ?? error
  }
}

/** What it means that a row refers to one that is not there. */
export function brokenForeignKey(error: unknown): FreeholdError | undefined {
  if (!hasSqlState(error, ...REFERRED_TO)) return undefined
  const [table, constraint] = [error.table ?? '', violatedConstraint(error) ?? '']
  return new FreeholdError(
    'foreign_key_broken',
    `Rows of ${table} refer by ${constraint} to rows that the target does not have.`,
    { cause: error, details: { table, constraint } },
  )
}

function unmergeable(error: unknown): FreeholdError | undefined {
  if (!hasSqlState(error, ...TAKEN)) return undefined
  return notTheSame(error.table ?? '', error)
}

function notTheSame(table: string, cause?: unknown): FreeholdError {
  const message = `Reference table ${table} of the target cannot be made what it is at the source.`
  return new FreeholdError('verification_failed', message, { cause, details: { table } })
}

const TRIGGERS = `
  select format('alter table %s disable trigger %I', tgrelid::regclass, tgname) as remove,
    format('alter table %s enable %strigger %I', tgrelid::regclass,
      case tgenabled when 'A' then 'always ' when 'R' then 'replica ' else '' end, tgname) as restore
  from pg_trigger
  where tgrelid = any ($1::text[]::regclass[]::oid[]) and not tgisinternal and tgparentid = 0 and tgenabled <> 'D'`

/** They have had their effect where the rows come from. */
async function withoutTriggers(owner: ClientBase, tables: readonly string[], work: () => Promise<void>) {
  const triggers = await owner.query<{ remove: string; restore: string }>(TRIGGERS, [tables])
  for (const { remove } of triggers.rows) await owner.query(remove)
  await work()
  for (const { restore } of triggers.rows) await owner.query(restore)
}

async function mergeAll(source: pg.Client, owner: pg.Client, pairs: readonly TablePair[]): Promise<void> {
  const ordered = await parentsFirst(owner, pairs)
  const keys = await keysOf(owner, ordered)
  const merges = ordered.map((pair, index) => ({
    pair,
    merge: mergeStatements(pair.target, keys[index] ?? [], `staged_reference_${index}`),
  }))
  for (const { pair, merge } of merges) {
    await owner.query(merge.stage)
    await copyRows(source, owner, pair, merge.staged)
  }
  for (const action of await actionsOn(owner, ordered)) {
    const merge = merges[action.parent]?.merge
    if (merge !== undefined) await refuseAction(owner, action, merge)
  }
  const inReverse = async (what: 'forget' | 'remove') => {
    for (const { merge } of merges.toReversed()) await owner.query(merge[what])
  }
  const put = async () => {
    for (const { merge } of merges) await owner.query(merge.put)
  }
  const removeAndPut = async () => {
    await inReverse('forget')
    await inReverse('remove')
    await put()
  }
  const putAndRemove = async () => {
    await inReverse('forget')
    await put()
    await inReverse('remove')
  }
  // What is unique may be free only when its row has gone; a row may go only when those that refer to it refer to another one. Both at
  // once takes foreign keys that are asked at the end, and for that a lock that readers wait for.
  await owner.query('savepoint merging')
  if (await isMade(owner, removeAndPut, REFERRED_TO)) return
  if (await isMade(owner, putAndRemove, TAKEN)) return
  await askedAtTheEnd(owner, sides(ordered, 'target'), removeAndPut)
}

/** @returns whether it was done; undone up to the savepoint when it was refused with one of these states. */
async function isMade(
  owner: ClientBase,
  work: () => Promise<void>,
  states: readonly SqlState[],
): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    if (!hasSqlState(error, ...states)) throw error
    await owner.query('rollback to savepoint merging')
    return false
  }
}

const FOREIGN_KEYS_BETWEEN = `
  select format('alter table %s alter constraint %I', conrelid::regclass, conname) as alter
  from pg_constraint
  where contype = 'f' and conparentid = 0 and not condeferrable
    and conrelid = any ($1::text[]::regclass[]::oid[]) and confrelid = any ($1::text[]::regclass[]::oid[])`

/** Has the foreign keys between these tables asked when all is done; those that RESTRICT cannot be. */
async function askedAtTheEnd(
  owner: ClientBase,
  tables: readonly TableShape[],
  work: () => Promise<void>,
): Promise<void> {
  const between = await owner.query<{ alter: string }>(FOREIGN_KEYS_BETWEEN, [
    tables.map(({ table }) => quoteTable(table)),
  ])
  for (const { alter } of between.rows) await owner.query(`${alter} deferrable`)
  await owner.query('set constraints all deferred')
  await work()
  await owner.query('set constraints all immediate')
  for (const { alter } of between.rows) await owner.query(`${alter} not deferrable`)
}

async function copyRows(
  source: pg.Client,
  owner: pg.Client,
  { source: from }: TablePair,
  staged: string,
): Promise<void> {
  const names = columnNames(from).join(', ')
  try {
    await pipeline(
      source.query(copyTo(`copy (select ${names} from ${quoteTable(from.table)}) to stdout`)),
      owner.query(copyFrom(`copy ${staged} (${names}) from stdin`)),
    )
  } catch (error) {
    // A COPY that is no longer read never ends, and a rollback would wait behind it for ever.
    await Promise.allSettled([source.end(), owner.end()])
    throw error
  }
}

const columnNames = ({ columns }: TableShape) => columns.map(({ name }) => quoteIdentifier(name))

/** The columns by which a row of each table is known: its primary key, else those of a unique index, rather one that knows all rows; or none. */
async function keysOf(owner: ClientBase, pairs: readonly TablePair[]): Promise<string[][]> {
  const found = await owner.query<{ key: string[] }>(
    `select coalesce(
       (select array_agg(attname::text order by place)
        from unnest(best.indkey::int2[]) with ordinality listed (number, place)
        join pg_attribute on attrelid = best.indrelid and attnum = number), '{}') as key
     from unnest($1::text[]) with ordinality tables (name, n)
     left join lateral (
       select indrelid, indkey from pg_index
       where indrelid = name::regclass and indisunique and indisvalid and indimmediate and indpred is null
         and indexprs is null and indnkeyatts = indnatts
       order by not indisprimary, exists (select from unnest(indkey::int2[]) number
           join pg_attribute on attrelid = indrelid and attnum = number where not attnotnull), indexrelid
       limit 1) best on true
     order by n`,
    [sides(pairs, 'target').map(({ table }) => quoteTable(table))],
  )
  return found.rows.map(({ key }) => key)
}

/**
 * A foreign key that would delete or change the rows that refer to a reference table, past row security. From one reference table to
 * another it counts as well: it may go on from there to rows of the tenant.
 */
interface Action {
  /** The table's place in the list. */
  readonly parent: number
  readonly child: string
  readonly constraint: string
  readonly onDelete: boolean
  readonly onUpdate: boolean
  readonly columns: readonly string[]
}

async function actionsOn(owner: ClientBase, pairs: readonly TablePair[]): Promise<Action[]> {
  const found = await owner.query<Action>(
    `select n::int - 1 as parent, conrelid::regclass::text as child, conname::text as constraint,
       confdeltype in ('c', 'n', 'd') as "onDelete", confupdtype in ('c', 'n', 'd') as "onUpdate",
       (select array_agg(attname::text) from pg_attribute where attrelid = confrelid and attnum = any (confkey)) as columns
     from unnest($1::text[]) with ordinality tables (name, n)
     join pg_constraint on confrelid = name::regclass and contype = 'f' and conparentid = 0
     where confdeltype in ('c', 'n', 'd') or confupdtype in ('c', 'n', 'd')`,
    [sides(pairs, 'target').map(({ table }) => quoteTable(table))],
  )
  return found.rows
}

/** Whose rows would go along cannot be seen here, so it is not tried. */
async function refuseAction(
  owner: ClientBase,
  { child, constraint, columns, onDelete, onUpdate }: Action,
  merge: ReturnType<typeof mergeStatements>,
): Promise<void> {
  const moves = [
    ...(onDelete ? [merge.goes] : []),
    ...(onUpdate ? [merge.changes(columns.map(quoteIdentifier))] : []),
  ]
  for (const from of moves) {
    const found = await owner.query(`select from ${from} limit 1`)
    if (found.rowCount === 0) continue
    throw new FreeholdError(
      'foreign_key_broken',
      `A row that ${child} may refer to by ${constraint} has gone or changed at the source; what refers to it would be deleted or changed along with it.`,
      { details: { table: child, constraint } },
    )
  }
}

/** A row without a key, or with a part of it that is null, cannot be told from another one, and not be changed in place. */
function mergeStatements(shape: TableShape, keyColumns: readonly string[], staged: string) {
  const { columns } = shape
  const table = quoteTable(shape.table)
  const names = columnNames(shape).join(', ')
  const key = keyColumns.map(quoteIdentifier)
  const same = key.map((name) => `t.${name} = s.${name}`).join(' and ')
  const isKey = new Set(keyColumns)
  const unknown = key.length === 0 ? 'true' : key.map((name) => `t.${name} is null`).join(' or ')
  const isNotThere = key.length === 0 ? 'true' : `not exists (select from ${staged} s where ${same})`
  const goes = `${table} t where ${isNotThere}`
  const changes = columns
    .filter(({ name, alwaysIdentity }) => !isKey.has(name) && !alwaysIdentity)
    .map(({ name }) => quoteIdentifier(name))
    .map((name) => `${name} = excluded.${name}`)
  const conflict =
    key.length === 0
      ? ''
      : ` on conflict (${key.join(', ')}) do ${changes.length === 0 ? 'nothing' : `update set ${changes.join(', ')}`}`
  return {
    staged,
    stage: `create temporary table ${staged} on commit drop as select ${names} from ${table} with no data`,
    /** What is there and not at the source. */
    goes,
    /** What is there with another value in one of these columns. */
    changes: (others: readonly string[]) =>
      key.length === 0
        ? table
        : `${table} t join ${staged} s on ${same}
           where (${others.map((name) => `t.${name}`).join(', ')}) is distinct from (${others.map((name) => `s.${name}`).join(', ')})`,
    forget: `delete from ${table} t where ${unknown}`,
    remove: `delete from ${goes} and not (${unknown})`,
    put: `insert into ${table} (${names}) overriding system value select ${names} from ${staged}${conflict}`,
  }
}

/** Reference tables may refer to each other: rows come after those that they need, and go before them. */
async function parentsFirst(owner: ClientBase, pairs: readonly TablePair[]): Promise<TablePair[]> {
  const names = pairs.map(({ target }) => quoteTable(target.table))
  const keys = await owner.query<{ child: number; parent: number }>(
    `select child.n::int - 1 as child, parent.n::int - 1 as parent
     from unnest($1::text[]) with ordinality child (name, n)
     join pg_constraint on conrelid = child.name::regclass and contype = 'f'
     join unnest($1::text[]) with ordinality parent (name, n) on confrelid = parent.name::regclass`,
    [names],
  )
  const ordered = new Set<number>()
  const visiting = new Set<number>()
  const visit = (index: number) => {
    if (visiting.has(index)) return
    visiting.add(index)
    for (const { child, parent } of keys.rows) if (child === index) visit(parent)
    ordered.add(index)
  }
  for (const index of pairs.keys()) visit(index)
  return [...ordered].flatMap((index) => pairs[index] ?? [])
}

/** A database, as its owner, and where the tables are there. */
interface OwnedSide {
  readonly owner: ClientBase
  readonly schema: string
}

/**
 * Sets the sequences of tables at the target to hand out nothing that the source has handed out. As the owner, who alone may see how
 * far those of reference tables are.
 */
export async function alignSequencesOf(
  tables: readonly TablePair[],
  source: OwnedSide,
  target: OwnedSide,
): Promise<void> {
  const read = async ({ owner, schema }: OwnedSide, end: keyof TablePair) => {
    const listed = tables.map((pair) => pair[end].table)
    return { schema, sequences: await openSequences(owner, await readSequences(owner, schema, listed)) }
  }
  const { pairs } = pairSequences(await read(source, 'source'), await read(target, 'target'))
  await alignSequences(source.owner, target.owner, pairs)
}
