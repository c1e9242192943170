import { createHash } from 'node:crypto'
import { FreeholdError } from '@freehold/contract'
import { quoteLiteral, quoteTable, type TableName } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { tableKey } from './table-key.ts'

/** A sequence that a tenant's product may draw from, at one end of a move. */
export interface Sequence extends TableName {
  readonly increment: string
  /** The only one that a column of a tenant table owns: the table's place in the list, and the column. */
  readonly ownedBy: string | null
  /** Whether the columns of tenant tables draw from it; if not, only the product knows what it is for. */
  readonly isDrawn: boolean
  /** Whether the mover may read, draw from and set it. */
  readonly isOpen: boolean
  /** Whether freehold_owner may let the mover. */
  readonly canOpen: boolean
}

/** The same sequence at both ends. */
export interface SequencePair {
  readonly source: Sequence
  readonly target: Sequence
}

/**
 * Those that columns of tenant tables own (identity, serial), those that other defaults name, and what else stands where the
 * tenant's tables are and the product may draw from. Privileges are asked by object id, so that a role that is missing is no error.
 */
const SEQUENCES = `
  with listed as (
    select relation, position from unnest($1::text[]::regclass[]::oid[]) with ordinality listed (relation, position)
  ),
  owned as (
    select objid as sequence, position, attname, count(*) over (partition by attrelid, attnum) as of_column
    from pg_depend join listed on relation = refobjid
    join pg_attribute on attrelid = refobjid and attnum = refobjsubid
    join pg_sequence on seqrelid = objid
    where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass and deptype in ('a', 'i')
  ),
  drawn as (
    select refobjid as sequence from pg_attrdef join listed on relation = adrelid
    join pg_depend on classid = 'pg_attrdef'::regclass and objid = pg_attrdef.oid and refclassid = 'pg_class'::regclass
  ),
  roles as (
    select min(oid::bigint) filter (where rolname = 'freehold_app')::oid as app,
      min(oid::bigint) filter (where rolname = 'freehold_mover')::oid as mover,
      min(oid::bigint) filter (where rolname = 'freehold_owner')::oid as owner
    from pg_roles
  )
  select * from (
    select nspname as schema, relname as name, seqincrement as increment,
      case when owned.of_column = 1 then format('%s %s', owned.position, owned.attname) end as "ownedBy",
      owned.sequence is not null or seqrelid in (select sequence from drawn) as "isDrawn",
      has_sequence_privilege(mover, seqrelid, 'usage') and has_sequence_privilege(mover, seqrelid, 'select')
        and has_sequence_privilege(mover, seqrelid, 'update') as "isOpen",
      pg_has_role(owner, relowner, 'usage') as "canOpen",
      has_sequence_privilege(app, seqrelid, 'usage') or has_sequence_privilege(app, seqrelid, 'update') as "isOfProduct",
      case when $2 = 'public'
        then not exists (select from freehold.tenant_schema own where own.schema_name = nspname)
          and nspname !~ '^(pg_|freehold(_migrations)?$|information_schema$)'
        else nspname = $2
      end as "isHere"
    from pg_sequence
    join pg_class on pg_class.oid = seqrelid
    join pg_namespace on pg_namespace.oid = relnamespace
    left join owned on owned.sequence = seqrelid
    cross join roles
  ) found
  where "isDrawn" or "isOfProduct" and "isHere"
  order by schema, name`

/**
 * Reads which sequences a tenant's product may draw from; not where they stand.
 *
 * @param schema where the tenant's tables are.
 * @param tables the tenant's tables, in an order that is the same at both ends of a move.
 */
export async function readSequences(
  client: ClientBase,
  schema: string,
  tables: readonly TableName[],
): Promise<Sequence[]> {
  const found = await client.query<Sequence>(SEQUENCES, [tables.map(quoteTable), schema])
  return found.rows
}

/** Lets the mover read, draw from and set the sequences that its owner has not opened to it yet. Safe to run twice. */
export async function openSequences(owner: ClientBase, sequences: readonly Sequence[]): Promise<Sequence[]> {
  const closed = sequences.filter(({ isOpen, canOpen }) => !isOpen && canOpen)
  for (const sequence of closed) {
    await owner.query(`grant usage, select, update on sequence ${quoteTable(sequence)} to freehold_mover`)
  }
  return sequences.map((sequence) => ({ ...sequence, isOpen: sequence.isOpen || sequence.canOpen }))
}

interface SequencesOf {
  readonly schema: string
  readonly sequences: readonly Sequence[]
}

/**
 * Finds each sequence's counterpart: that of the same column of the same table, whatever it is called; else the one of the same name,
 * in the schema of the tenant's tables or in another.
 *
 * @returns the pairs that can be aligned, and the names of those that only the product draws from and that cannot.
 * @throws FreeholdError `schema_mismatch` when what a column draws from has no counterpart.
 */
export function pairSequences(
  source: SequencesOf,
  target: SequencesOf,
): { readonly pairs: readonly SequencePair[]; readonly unaligned: readonly string[] } {
  const key = (sequence: Sequence, schema: string) =>
    sequence.ownedBy ?? `named ${tableKey(sequence, schema)}`
  const counterparts = new Map(target.sequences.map((each) => [key(each, target.schema), each]))
  const pairs: SequencePair[] = []
  const unaligned: string[] = []
  for (const sequence of source.sequences) {
    const counterpart = counterparts.get(key(sequence, source.schema))
    const name = tableKey(sequence, source.schema)
    if (counterpart === undefined && sequence.isDrawn) {
      throw new FreeholdError(
        'schema_mismatch',
        `A column draws from the sequence ${name}, which the target has not.`,
      )
    }
    if (counterpart?.isOpen && sequence.isOpen) pairs.push({ source: sequence, target: counterpart })
    else unaligned.push(name)
  }
  return { pairs, unaligned }
}

/** Up to here a sequence that others draw from as well is brought forward by drawing, which nothing can undo. */
const DRAWN_AT_MOST = 10_000

/**
 * Sets the sequences at the target to hand out no value that the source has handed out, or has been set beyond. A
 * sequence that is already further, as in a pool shared with others, stays; so this may be repeated. Values are not
 * part of the change stream, so it comes after the last write at the source; done before as well, little is left then.
 *
 * Others may draw from the sequence meanwhile, and what is set could be behind them by then. So only a sequence that is far
 * behind is set; one that is close is drawn from.
 */
export async function alignSequences(
  source: ClientBase,
  target: ClientBase,
  pairs: readonly SequencePair[],
): Promise<void> {
  if (pairs.length === 0) return
  const found = await source.query<{ last_value: string; is_called: boolean }>(
    named('sequences', `${standing(pairs.map((pair) => pair.source))} order by position`),
  )
  await target.query({
    ...named('align-sequences', alignment(pairs.map((pair) => pair.target))),
    values: [
      found.rows.map(({ last_value }) => last_value),
      found.rows.map(({ is_called }) => is_called),
      pairs.map((pair) => pair.source.increment),
    ],
  })
}

/**
 * Named, because planning it would take longer than running it, and at the switch writers wait for it. The sequences are part of
 * the text: only from itself can be read where a sequence stands that nobody has drawn from since it was set.
 */
function named(name: string, text: string): { readonly name: string; readonly text: string } {
  return { name: `${name}-${createHash('sha256').update(text).digest('hex').slice(0, 16)}`, text }
}

const standing = (sequences: readonly Sequence[]) =>
  sequences
    .map(
      (sequence, index) =>
        `select ${index + 1} as position, last_value, is_called from ${quoteTable(sequence)}`,
    )
    .join(' union all ')

/** What comes next counts: after what was handed out last, or the value itself if it was not handed out yet. */
const next = (of: string, increment: string) =>
  `(${of}.last_value::numeric + case when ${of}.is_called then ${increment} else 0 end)`

const alignment = (sequences: readonly Sequence[]) => `
  select case when steps > ${DRAWN_AT_MOST} then setval(sequence, last_value, is_called)
    else (select max(value) from (select nextval(sequence) as value from generate_series(1, steps::bigint)) drawn) end
  from (
    select sequence, source.last_value, source.is_called,
      ceil((${next('source', 'source.increment')} - ${next('target', 'seqincrement')}) / seqincrement) as steps
    from unnest($1::bigint[], $2::boolean[], $3::bigint[]) with ordinality
      source (last_value, is_called, increment, position)
    join (${standing(sequences)}) target using (position)
    join unnest(array[${sequences.map((sequence) => `${quoteLiteral(quoteTable(sequence))}::regclass`).join(', ')}]) with ordinality
      counterpart (sequence, position) using (position)
    join pg_sequence on seqrelid = sequence
  ) behind
  where steps > 0`
