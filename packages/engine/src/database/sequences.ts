import { quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { TableShape } from './tables.ts'

/**
 * Every sequence that a tenant table's columns draw from: identity and serial columns own theirs, and any other default
 * names one that stands by itself.
 */
const SEQUENCES = `
  select distinct sequence.oid::regclass::text as sequence, pg_sequence.seqincrement > 0 as ascending,
    pg_sequence_last_value(sequence.oid) as last_value
  from pg_depend dependency
  join pg_class sequence on sequence.relkind = 'S'
  join pg_sequence on pg_sequence.seqrelid = sequence.oid
  left join pg_attrdef on dependency.classid = 'pg_attrdef'::regclass and pg_attrdef.oid = dependency.objid
  where (dependency.refobjid = any ($1::text[]::regclass[]::oid[]) and dependency.objid = sequence.oid
      and dependency.classid = 'pg_class'::regclass and dependency.deptype in ('a', 'i'))
    or (pg_attrdef.adrelid = any ($1::text[]::regclass[]::oid[]) and dependency.refobjid = sequence.oid
      and dependency.refclassid = 'pg_class'::regclass)`

/**
 * Sets the sequences behind the tenant tables at the target to hand out no value that the source has handed out. A
 * sequence that is already further, as in a pool shared with others, stays; so this may be repeated. Values are not
 * part of the change stream, so it comes after the last write at the source.
 */
export async function alignSequences(
  source: ClientBase,
  target: ClientBase,
  tables: readonly TableShape[],
): Promise<void> {
  const found = await source.query<{ sequence: string; ascending: boolean; last_value: string | null }>(
    SEQUENCES,
    [tables.map((shape) => quoteTable(shape.table))],
  )
  const used = found.rows.filter(({ last_value }) => last_value !== null)
  if (used.length === 0) return
  await target.query(
    `select setval(sequence::regclass, case when ascending
         then greatest(last_value, coalesce(pg_sequence_last_value(sequence::regclass), last_value))
         else least(last_value, coalesce(pg_sequence_last_value(sequence::regclass), last_value)) end)
     from unnest($1::text[], $2::boolean[], $3::bigint[]) used (sequence, ascending, last_value)`,
    [
      used.map(({ sequence }) => sequence),
      used.map(({ ascending }) => ascending),
      used.map(({ last_value }) => last_value),
    ],
  )
}
