import { quoteIdentifier } from '@freehold/postgres'
import {
  ColumnNode,
  type IdentifierNode,
  type Kysely,
  ReferenceNode,
  SelectionNode,
  SelectQueryNode,
  TableNode,
} from 'kysely'

/** A table and columns of it as the database knows them. */
export interface TargetNames {
  /** Quoted, with its schema if one was named. */
  readonly table: string
  readonly columns: readonly string[]
}

/**
 * Names as they reach the database: after `withSchema()` and plugins that change names, such as CamelCasePlugin, which
 * see them in a query that is never run.
 */
export function targetNames<DB>(db: Kysely<DB>, table: string, columns: readonly string[]): TargetNames {
  const [schema, name] = table.includes('.')
    ? table.split('.').map((part) => part.trim())
    : [undefined, table]
  const from = schema === undefined ? TableNode.create(table) : TableNode.createWithSchema(schema, name ?? '')
  const query = SelectQueryNode.cloneWithSelections(
    SelectQueryNode.createFrom([from]),
    columns.map((column) => SelectionNode.create(ReferenceNode.create(ColumnNode.create(column)))),
  )
  const seen = db.getExecutor().transformQuery(query, { queryId: 'freehold-copy' })
  const target = seen.from?.froms[0]
  const identifier = target && TableNode.is(target) ? target.table : from.table
  return {
    table: [identifier.schema, identifier.identifier].flatMap(quoted).join('.'),
    columns: (seen.selections ?? []).map(({ selection }) => columnName(selection)),
  }
}

function quoted(identifier: IdentifierNode | undefined): string[] {
  return identifier ? [quoteIdentifier(identifier.name)] : []
}

function columnName(selection: SelectionNode['selection']): string {
  if (ReferenceNode.is(selection) && ColumnNode.is(selection.column)) return selection.column.column.name
  throw new TypeError('A plugin has made something else of a column.')
}
