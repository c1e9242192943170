import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { TenantScope } from './entered.ts'
import type { TablePair } from './tables.ts'

/**
 * Every sequence that a tenant table's columns draw from: identity and serial columns own theirs, and any other default
 * names one that stands by itself.
 */
const SEQUENCES = `
  select distinct namespace.nspname as schema, sequence.relname as name, pg_sequence.seqincrement > 0 as ascending,
    pg_sequence_last_value(sequence.oid) as last_value
  from pg_depend dependency
  join pg_class sequence on sequence.relkind = 'S'
  join pg_namespace namespace on namespace.oid = sequence.relnamespace
  join pg_sequence on pg_sequence.seqrelid = sequence.oid
  left join pg_attrdef on dependency.classid = 'pg_attrdef'::regclass and pg_attrdef.oid = dependency.objid
  where (dependency.refobjid = any ($1::text[]::regclass[]::oid[]) and dependency.objid = sequence.oid
      and dependency.classid = 'pg_class'::regclass and dependency.deptype in ('a', 'i'))
    or (pg_attrdef.adrelid = any ($1::text[]::regclass[]::oid[]) and dependency.refobjid = sequence.oid
      and dependency.refclassid = 'pg_class'::regclass)`

/** A connection to one end of a move, and where the tenant's tables are there. */
interface SequencesSide {
  readonly client: ClientBase
  readonly scope: Pick<TenantScope, 'schema'>
}

/** Up to here a sequence that others draw from as well is brought forward by drawing, which nothing can undo. */
const DRAWN_AT_MOST = 10_000

/**
 * Sets the sequences behind the tenant tables at the target to hand out no value that the source has handed out. A
 * sequence that is already further, as in a pool shared with others, stays; so this may be repeated. Values are not
 * part of the change stream, so it comes after the last write at the source; done before as well, little is left then.
 *
 * Others may draw from the sequence meanwhile, and what is set could be behind them by then. So only a sequence that is far
 * behind is set; one that is close is drawn from.
 */
export async function alignSequences(
  source: SequencesSide,
  target: SequencesSide,
  tables: readonly TablePair[],
): Promise<void> {
  // Named: planning it would take longer than running it, and at the switch writers wait for it.
  const found = await source.client.query<{
    schema: string
    name: string
    ascending: boolean
    last_value: string | null
  }>({
    name: 'sequences',
    text: SEQUENCES,
    values: [tables.map((pair) => quoteTable(pair.source.table))],
  })
  const used = found.rows.filter(({ last_value }) => last_value !== null)
  if (used.length === 0) return
  await target.client.query({
    name: 'align-sequences',
    text: `select case when steps > ${DRAWN_AT_MOST} then setval(sequence, last_value)
         else (select max(value) from (select nextval(sequence) as value from generate_series(1, steps::bigint)) drawn) end
     from (
       select sequence::regclass as sequence, last_value,
         ceil((last_value - coalesce(pg_sequence_last_value(sequence::regclass), seqstart - seqincrement))::numeric
           / seqincrement) as steps
       from unnest($1::text[], $2::bigint[]) used (sequence, last_value)
       join pg_sequence on seqrelid = sequence::regclass
     ) behind
     where steps > 0`,
    values: [
      used.map(({ schema, name }) =>
        [schema === source.scope.schema ? target.scope.schema : schema, name].map(quoteIdentifier).join('.'),
      ),
      used.map(({ last_value }) => last_value),
    ],
  })
}
