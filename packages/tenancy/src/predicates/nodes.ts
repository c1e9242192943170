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
  /** Whether raw SQL follows the name in the same place, as an alias would: nobody knows what it makes of the table. */
  readonly continued: boolean
}

/**
 * Whatever way a table is named without text: by Kysely, by `sql.table()`, and by `sql.id()` and `sql.ref()`, which
 * are tables where a table belongs.
 *
 * @returns undefined for what is no table: subqueries, functions, and raw SQL that begins with text.
 */
export function namedTable(node: OperationNode): NamedTable | undefined {
  const item = withoutRaw(node)
  const aliased = AliasNode.is(item)
  const named = nameIn(aliased ? item.node : item)
  if (!named || !aliased) return named && { ...named, calledBy: named.table }
  return { ...named, calledBy: IdentifierNode.is(item.alias) ? TableNode.create(item.alias.name) : undefined }
}

function nameIn(node: OperationNode): Pick<NamedTable, 'table' | 'continued'> | undefined {
  if (TableNode.is(node)) return { table: node, continued: false }
  const { names, texts } = new Pieces(node)
  if (names.length === 0 || texts[0]?.trim() !== '') return undefined
  let end = 1
  while (end < names.length && texts[end]?.trim() === '.') end++
  const rest = texts[end]?.trim() ?? ''
  if (rest.startsWith('(')) return undefined
  // Of three names the first can only be the database's own.
  const [name = '', schema] = names.slice(0, end).reverse()
  const table = schema === undefined ? TableNode.create(name) : TableNode.createWithSchema(schema, name)
  return { table, continued: end < names.length || rest !== '' }
}

/** The names in a fragment, and the text before, between and after them. */
class Pieces {
  readonly names: string[] = []
  /** One more than there are names. */
  readonly texts: string[] = ['']

  constructor(node: OperationNode) {
    this.#add(node)
  }

  #add(node: OperationNode): void {
    if (IdentifierNode.is(node)) this.#name(node.name)
    else if (ColumnNode.is(node)) this.#name(node.column.name)
    else if (ReferenceNode.is(node)) this.#joined(node.table, node.column)
    else if (TableNode.is(node)) this.#joined(node.table.schema, node.table.identifier)
    else if (AliasNode.is(node)) this.#around(['', ' as ', ''], [node.node, node.alias])
    else if (RawNode.is(node)) this.#around(node.sqlFragments, node.parameters)
    else this.#text('?')
  }

  #joined(first: OperationNode | undefined, second: OperationNode): void {
    if (first) this.#around(['', '.', ''], [first, second])
    else this.#add(second)
  }

  #around(texts: readonly string[], nodes: readonly OperationNode[]): void {
    for (const [index, text] of texts.entries()) {
      this.#text(text)
      const node = nodes[index]
      if (node) this.#add(node)
    }
  }

  #name(name: string): void {
    this.names.push(name)
    this.texts.push('')
  }

  #text(text: string): void {
    this.texts[this.names.length] += text
  }
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

/** The name of a column that is named as such, by `sql.id()`, or by a reference to it. */
export function columnName(node: OperationNode): string | undefined {
  const inner = withoutRaw(node)
  if (IdentifierNode.is(inner)) return inner.name
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
export function filtered(node: OperationNode, table: TableNode, predicate: OperationNode): OperationNode {
  const item = withoutRaw(node)
  if (!AliasNode.is(item)) return item
  const all = SelectQueryNode.cloneWithSelections(SelectQueryNode.createFrom([table]), [
    SelectionNode.createSelectAll(),
  ])
  return AliasNode.create(change(all, { where: WhereNode.create(predicate) }), item.alias)
}
