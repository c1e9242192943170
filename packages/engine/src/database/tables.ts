import { FreeholdError } from '@freehold/contract'
import type { TableName } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { checkTables } from '../preflight/checks/tables.ts'
import { type Finding, refuseBlocked } from '../preflight/finding.ts'
import { readTableFacts, type TableFacts } from './table-facts.ts'
import { tableKey } from './table-key.ts'

export interface Column {
  readonly name: string
  /** The type as written in SQL, with its schema where that is needed. */
  readonly type: string
  /**
   * Whether equal values have equal bytes on every server: built-in, and neither an array, an enum nor a composite,
   * whose wire format and hash contain object ids that differ between databases.
   */
  readonly portable: boolean
  /** Whether the binary format of COPY holds nothing that differs between databases. */
  readonly binary: boolean
  /** GENERATED ALWAYS AS IDENTITY: an update may not name a value for it. */
  readonly alwaysIdentity: boolean
}

/** A tenant table, or a reference table, as the mover needs to know it. */
export interface TableShape {
  /** What the table is called at both ends of a move: its bare name in the tenant's schema there, see {@link tableKey}. */
  readonly key: string
  readonly table: TableName
  readonly tenantColumn: string
  readonly columns: readonly Column[]
  /** Columns that the target computes: compared, and not carried over. */
  readonly generated: readonly Column[]
  readonly primaryKey: readonly { readonly name: string; readonly type: string }[]
}

/** A table of the tenant as it is at each end of a move: the same columns, and perhaps another schema. */
export interface TablePair {
  readonly source: TableShape
  readonly target: TableShape
}

/**
 * Reads the tenant tables of a database: those in a tenant's own schema, or the shared ones.
 *
 * @param client entered as nobody, in no transaction: only catalogs are read.
 * @param schema where the tenant's tables are; `public` for the shared ones and for a silo's.
 * @throws FreeholdError `table_without_tenant_column`, `table_without_primary_key`, `table_with_replica_trigger` or
 * `table_not_protected`, naming every such table, when a table could not be moved without losing or exposing rows.
 * @param matters which of that is in the way of what the tables are read for; all of it, unless said.
 */
export async function readTables(
  client: ClientBase,
  schema = 'public',
  matters: (finding: Finding) => boolean = () => true,
): Promise<TableShape[]> {
  const tables = await readTableFacts(client, schema)
  refuseBlocked(checkTables(tables, schema).filter(matters))
  return tenantTables(tables, schema)
}

/** Reads the reference tables that are where the tenant's tables are. */
export async function readReferenceTables(client: ClientBase, schema: string): Promise<TableShape[]> {
  return referenceTables(await readTableFacts(client, schema), schema)
}

/** The tenant tables among what has been read, as the mover needs to know them. */
export function tenantTables(tables: readonly TableFacts[], schema: string): TableShape[] {
  return shapesOf('tenant', tables, schema)
}

/** The reference tables among what has been read. Their tenant column is the empty string. */
export function referenceTables(tables: readonly TableFacts[], schema: string): TableShape[] {
  return shapesOf('reference', tables, schema)
}

function shapesOf(kind: TableFacts['kind'], tables: readonly TableFacts[], schema: string): TableShape[] {
  return tables
    .filter((row) => row.kind === kind)
    .map((row) => ({
      key: tableKey(row, schema),
      table: { schema: row.schema, name: row.name },
      tenantColumn: row.tenant_column ?? '',
      columns: row.columns.filter((column) => !column.generated),
      generated: row.columns.filter((column) => column.generated),
      primaryKey: row.primary_key,
    }))
}

/**
 * Finds each table's counterpart, and checks that every table can be copied as it is: same names, same columns of the
 * same types, same primary keys. The order of the columns does not matter, nor in which schema the tenant's tables are.
 *
 * @throws FreeholdError `schema_mismatch`, naming the tables that differ.
 */
export function pairTables(source: readonly TableShape[], target: readonly TableShape[]): TablePair[] {
  const { pairs, different } = matchTables(source, target)
  if (different.length === 0) return pairs
  throw new FreeholdError('schema_mismatch', `Source and target differ in: ${different.join(', ')}.`)
}

/** The tables that are the same at both ends, and the keys of those that are not. */
export function matchTables(
  source: readonly TableShape[],
  target: readonly TableShape[],
): { readonly pairs: TablePair[]; readonly different: string[] } {
  const counterparts = new Map(target.map((shape) => [shape.key, shape]))
  const pairs = source.flatMap((shape) => {
    const counterpart = counterparts.get(shape.key)
    return counterpart !== undefined && signature(counterpart) === signature(shape)
      ? [{ source: shape, target: counterpart }]
      : []
  })
  const paired = new Set(pairs.map((pair) => pair.source.key))
  const names = new Set([...source, ...target].map((shape) => shape.key).filter((key) => !paired.has(key)))
  return { pairs, different: [...names] }
}

function signature(shape: TableShape): string {
  const columns = shape.columns.map((column) => [column.name, column.type]).sort()
  return JSON.stringify([shape.tenantColumn, columns, shape.primaryKey])
}
