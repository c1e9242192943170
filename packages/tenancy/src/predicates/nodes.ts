import { RecentMap } from '@freehold/postgres'
import {
  AliasNode,
  type BinaryOperationNode,
  ColumnNode,
  IdentifierNode,
  type OperationNode,
  OperatorNode,
  RawNode,
  ReferenceNode,
  SelectionNode,
  SelectQueryNode,
  TableNode,
  type ValueNode,
  WhereNode,
} from 'kysely'
import { change } from './walking.ts'

/** A table in a place where PostgreSQL reads or writes one. */
export interface NamedTable {
  readonly table: TableNode
  /** How the query calls its columns; undefined where the alias renames them. */
  readonly calledBy: TableNode | undefined
}

/** @returns undefined for what is no table: subqueries, functions, raw SQL. */
export function namedTable(node: OperationNode): NamedTable | undefined {
  if (AliasNode.is(node)) {
    const table = onlyTable(node.node)
    if (!table) return undefined
    return { table, calledBy: IdentifierNode.is(node.alias) ? TableNode.create(node.alias.name) : undefined }
  }
  const table = onlyTable(node)
  return table && { table, calledBy: table }
}

/** The table itself, also where it was named by `sql.table()`. */
function onlyTable(node: OperationNode): TableNode | undefined {
  const only = withoutRaw(node)
  return TableNode.is(only) ? only : undefined
}

/** What stands in a raw fragment that has no text of its own, as `sql.ref()` makes it. */
export function withoutRaw(node: OperationNode): OperationNode {
  let inner = node
  while (RawNode.is(inner) && inner.sqlFragments.every((fragment) => fragment === '')) {
    const only = inner.parameters[0]
    if (!only || inner.parameters.length > 1) break
    inner = only
  }
  return inner
}

/** The name of a column that is named as such, or by a reference to it. */
export function columnName(node: OperationNode): string | undefined {
  const inner = withoutRaw(node)
  if (ColumnNode.is(inner)) return inner.column.name
  if (ReferenceNode.is(inner) && ColumnNode.is(inner.column)) return inner.column.column.name
  return undefined
}

/** `table.column`, made once: freezing nodes is what building queries mostly consists of. */
const references = new RecentMap<string, ReferenceNode>(1_000)

function reference({ table }: TableNode, column: string): ReferenceNode {
  const { schema, identifier } = table
  const key = `${schema?.name ?? ''}\0${identifier.name}\0${column}`
  let known = references.get(key)
  if (!known) {
    known = ReferenceNode.create(
      ColumnNode.create(column),
      schema ? TableNode.createWithSchema(schema.name, identifier.name) : TableNode.create(identifier.name),
    )
    references.set(key, known)
  }
  return known
}

const EQUALS = OperatorNode.create('=')

/** `table.column = $n`; always a parameter, so that all tenants share one text and one plan. */
export function equalsValue(table: TableNode, column: string, value: ValueNode): BinaryOperationNode {
  return {
    kind: 'BinaryOperationNode',
    leftOperand: reference(table, column),
    operator: EQUALS,
    rightOperand: value,
  }
}

/**
 * `(table inner join (select) as guard on predicate)`: only the rows that fulfil the predicate, wherever it stands,
 * and everything about the table still has its name: schema, system columns, a key that others are grouped by.
 * The guard has one row and no columns, so `select *` is what it was, and the planner removes it.
 */
export function guarded(item: OperationNode, predicate: OperationNode, guard: string): OperationNode {
  return RawNode.create(
    ['(', ' inner join (select) as ', ' on ', ')'],
    [item, IdentifierNode.create(guard), predicate],
  )
}

/** A table whose columns the query has given other names. */
export function filtered(item: OperationNode, table: TableNode, predicate: OperationNode): OperationNode {
  if (!AliasNode.is(item)) return item
  const all = SelectQueryNode.cloneWithSelections(SelectQueryNode.createFrom([table]), [
    SelectionNode.createSelectAll(),
  ])
  return AliasNode.create(change(all, { where: WhereNode.create(predicate) }), item.alias)
}
