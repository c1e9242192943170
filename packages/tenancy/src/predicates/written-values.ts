import { canonicalTenantId, FreeholdError } from '@freehold/contract'
import {
  AliasNode,
  ColumnNode,
  type ColumnUpdateNode,
  DefaultInsertValueNode,
  FromNode,
  IdentifierNode,
  type InsertQueryNode,
  type OperationNode,
  PrimitiveValueListNode,
  ReferenceNode,
  SelectAllNode,
  SelectionNode,
  SelectQueryNode,
  TableNode,
  ValueListNode,
  ValueNode,
  ValuesNode,
} from 'kysely'
import type { TableCatalog } from './declared-tables.ts'
import { columnName, withoutRaw } from './nodes.ts'

/** What is written into tenant columns: always the own id, or nothing is written at all. */
export class WrittenValues {
  readonly #tables: TableCatalog
  readonly #tenantId: string

  constructor(tables: TableCatalog, tenantId: string) {
    this.#tables = tables
    this.#tenantId = tenantId
  }

  /**
   * The insert with its tenant column filled in.
   *
   * @throws FreeholdError `foreign_tenant_id`, `tenant_not_checkable`.
   */
  fill(insert: InsertQueryNode, column: string): InsertQueryNode {
    const own = ColumnNode.create(column)
    if (insert.defaultValues) {
      const values = ValuesNode.create([PrimitiveValueListNode.create([this.#tenantId])])
      return { ...insert, defaultValues: false, columns: [own], values }
    }
    const { columns, values } = insert
    if (!columns || !values) {
      throw notCheckable('An insert names no columns, so nobody can say which of its values is the tenant.')
    }
    const at = columns.findIndex((named) => columnName(named) === column)
    if (ValuesNode.is(values)) {
      const rows = values.values.map((row) => this.#fillRow(row, at))
      return { ...insert, columns: at < 0 ? [...columns, own] : columns, values: ValuesNode.create(rows) }
    }
    if (SelectQueryNode.is(values)) {
      const filled = at < 0 ? this.#append(values) : this.#replace(values, at, columns.length)
      return { ...insert, columns: at < 0 ? [...columns, own] : columns, values: filled }
    }
    if (at >= 0) throw notCheckable('An insert of raw SQL names the tenant column.')
    // The column's default is the tenant.
    return insert
  }

  /** @throws FreeholdError `foreign_tenant_id`, `tenant_not_checkable`. */
  updates(updates: readonly ColumnUpdateNode[], column: string): readonly ColumnUpdateNode[] {
    if (!updates.some((update) => columnName(update.column) === column)) return updates
    return updates.map((update) =>
      columnName(update.column) === column ? { ...update, value: this.#own(update.value) } : update,
    )
  }

  #fillRow(row: ValueListNode | PrimitiveValueListNode, at: number): ValueListNode | PrimitiveValueListNode {
    if (PrimitiveValueListNode.is(row)) {
      if (at >= 0) this.#assertOwn(row.values[at])
      return PrimitiveValueListNode.create(put(row.values, at, this.#tenantId))
    }
    const own = at < 0 ? ValueNode.create(this.#tenantId) : this.#own(row.values[at])
    return ValueListNode.create(put(row.values, at, own))
  }

  /**
   * One column more. Where rows are told apart (DISTINCT, UNION), the server decides about types before it sees the
   * column that they are for, so there the value is added around the query.
   */
  #append(query: SelectQueryNode): SelectQueryNode {
    const own = selectionOf(ValueNode.create(this.#tenantId))
    const comparesRows =
      query.setOperations !== undefined ||
      query.frontModifiers?.some(({ modifier }) => modifier === 'Distinct')
    if (!comparesRows) return { ...query, selections: [...(query.selections ?? []), own] }
    const rows = 'freehold_rows'
    const all = SelectionNode.create(ReferenceNode.createSelectAll(TableNode.create(rows)))
    const from = FromNode.create([AliasNode.create(query, IdentifierNode.create(rows))])
    return SelectQueryNode.cloneWithSelections(SelectQueryNode.createFrom(from.froms), [all, own])
  }

  #replace(query: SelectQueryNode, at: number, count: number): SelectQueryNode {
    const { selections = [], setOperations } = query
    const selection = selections[at]
    if (setOperations || !selection || selections.length !== count || selections.some(selectsAll)) {
      throw notCheckable(
        'An insert from a query names the tenant column, and its value cannot be told apart.',
      )
    }
    const { selection: selected } = selection
    const value = AliasNode.is(selected) ? selected.node : selected
    return { ...query, selections: put(selections, at, selectionOf(this.#own(value))) }
  }

  /** The own id in place of a value that is the own id. */
  #own(value: OperationNode | undefined): OperationNode {
    const inner = value && withoutRaw(value)
    const name = inner && ReferenceNode.is(inner) ? columnName(inner) : undefined
    // The tenant column of whatever the query can see is the own id as well.
    const known = inner && (DefaultInsertValueNode.is(inner) || (name && this.#tables.isTenantColumn(name)))
    if (!known) {
      if (!inner || !ValueNode.is(inner)) throw notCheckable('A tenant column is set to an expression.')
      this.#assertOwn(inner.value)
    }
    return ValueNode.create(this.#tenantId)
  }

  #assertOwn(value: unknown): void {
    if (value === this.#tenantId || canonicalTenantId(String(value)) === this.#tenantId) return
    throw new FreeholdError('foreign_tenant_id')
  }
}

/** Replaces the element, or adds it at the end where its place is -1. */
function put<T>(list: readonly T[], at: number, element: T): readonly T[] {
  return at < 0 ? [...list, element] : list.with(at, element)
}

function selectionOf(value: OperationNode): SelectionNode {
  return SelectionNode.create(AliasNode.create(value, IdentifierNode.create('freehold_tenant')))
}

function selectsAll({ selection }: SelectionNode): boolean {
  if (SelectAllNode.is(selection)) return true
  return ReferenceNode.is(selection) && SelectAllNode.is(selection.column)
}

function notCheckable(what: string): FreeholdError {
  return new FreeholdError('tenant_not_checkable', what)
}
