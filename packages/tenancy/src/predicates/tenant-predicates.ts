import { FreeholdError } from '@freehold/contract'
import {
  type CommonTableExpressionNode,
  DeleteQueryNode,
  InsertQueryNode,
  type JoinNode,
  MergeQueryNode,
  type OperationNode,
  SelectQueryNode,
  type TableNode,
  UpdateQueryNode,
  ValueNode,
  type WhenNode,
  WhereNode,
  type WithNode,
} from 'kysely'
import { alsoWhen, isBySource, on, ownOrFail, where } from './conditions.ts'
import type { TableCatalog } from './declared-tables.ts'
import { equalsValue, filtered, guarded, type NamedTable, namedTable } from './nodes.ts'
import { change, isLeaf, mapChildren } from './walking.ts'
import { WrittenValues } from './written-values.ts'

/** The names that common table expressions have where we are: they hide tables of the same name. */
interface Scope {
  readonly name: string
  readonly outer: Scope | undefined
}

/**
 * Adds `<table>.<tenant column> = $tenant` to every tenant table that a query reads, updates or deletes, and fills the
 * tenant column of what it inserts: a wall of its own beside row security, and a constant that the planner can use.
 *
 * - Joins of every kind keep their meaning: a table that an outer join preserves is filtered before it is joined.
 * - A table that is not declared is refused: `table_not_declared`.
 * - To write another tenant's id is refused before anything is sent: `foreign_tenant_id`; what is written into a tenant
 *   column and cannot be seen, as by an expression: `tenant_not_checkable`. ON CONFLICT DO UPDATE of another tenant's
 *   row, which takes a unique constraint without the tenant, fails with SQLSTATE 22P02.
 *
 * It sees what was built with Kysely. Where a table belongs (FROM, JOIN, USING, INTO, what is updated or deleted), a raw
 * fragment that holds a name and no text, as `sql.table()`, `sql.id()` and `sql.ref()` make it, is that table; one that
 * goes on with text after a tenant table's name is refused, `tenant_not_checkable`.
 *
 * **It does not see tables that are named in the text of raw SQL**, nor what views and functions read: there row
 * security is the only wall. Nor is a predicate a barrier: the server may call a function of the same condition
 * with another tenant's row before it has compared the tenant, and what the function tells is told. Row security does
 * not have that gap.
 *
 * Names are those of the database: it comes after every plugin that changes names.
 */
export class TenantPredicates {
  /** Whose they are. */
  readonly tenantId: string
  readonly #tables: TableCatalog
  readonly #value: ValueNode
  readonly #values: WrittenValues
  #scope: Scope | undefined
  #guards = 0

  constructor(tables: TableCatalog, tenantId: string) {
    this.tenantId = tenantId
    this.#tables = tables
    this.#value = ValueNode.create(tenantId)
    this.#values = new WrittenValues(tables, tenantId)
  }

  /** @throws FreeholdError `table_not_declared`, `foreign_tenant_id`, `tenant_not_checkable`. */
  transform<T extends OperationNode>(node: T): T
  transform(node: OperationNode): OperationNode {
    this.#scope = undefined
    this.#guards = 0
    return this.#walk(node)
  }

  readonly #walk = (node: OperationNode): OperationNode => {
    if (isLeaf(node)) return node
    if (SelectQueryNode.is(node)) return this.#select(node)
    if (InsertQueryNode.is(node)) return this.#insert(node)
    if (UpdateQueryNode.is(node)) return this.#update(node)
    if (DeleteQueryNode.is(node)) return this.#delete(node)
    if (MergeQueryNode.is(node)) return this.#merge(node)
    return mapChildren(node, this.#walk)
  }

  /** What is inside a query, in the scope of its WITH. */
  #inside<T extends OperationNode & { readonly with?: WithNode }>(
    node: T,
    protect: (walked: T) => T,
  ): OperationNode {
    if (!node.with) return protect(mapChildren(node, this.#walk))
    const outer = this.#scope
    const expressions = this.#with(node.with)
    const walked = mapChildren<T>(Object.assign({}, node, { with: undefined }), this.#walk)
    const done = protect(Object.assign({}, walked, { with: expressions }))
    this.#scope = outer
    return done
  }

  /** A name is known to what follows it, and with RECURSIVE everywhere. */
  #with(node: WithNode): WithNode {
    const { expressions, recursive } = node
    const declare = ({ name: { table } }: CommonTableExpressionNode) => {
      this.#scope = { name: table.table.identifier.name, outer: this.#scope }
    }
    if (recursive) expressions.forEach(declare)
    const walked = expressions.map((expression) => {
      const body = mapChildren(expression, this.#walk)
      if (!recursive) declare(expression)
      return body
    })
    return change(node, { expressions: walked })
  }

  #select(node: SelectQueryNode): OperationNode {
    return this.#inside(node, (walked) => {
      if (!walked.from) return walked
      const reads = this.#reads(walked.from.froms, walked.joins)
      return change(walked, {
        from: change(walked.from, { froms: reads.items }),
        joins: reads.joins,
        where: where(reads.predicates, walked.where),
      })
    })
  }

  #insert(node: InsertQueryNode): OperationNode {
    return this.#inside(node, (walked) => {
      const target = walked.into && this.#target(walked.into)
      if (!target) return walked
      const filled = this.#values.fill(walked, target.column)
      const { onConflict } = filled
      if (!onConflict?.updates) return filled
      const own = ownOrFail(target.calledBy, target.column, target.predicate, onConflict.updateWhere?.where)
      return change(filled, {
        onConflict: change(onConflict, {
          updates: this.#values.updates(onConflict.updates, target.column),
          updateWhere: WhereNode.create(own),
        }),
      })
    })
  }

  #update(node: UpdateQueryNode): OperationNode {
    return this.#inside(node, (walked) => {
      const target = walked.table && this.#target(walked.table)
      const reads = this.#reads(walked.from?.froms ?? [], walked.joins)
      return change(walked, {
        updates: target ? this.#values.updates(walked.updates ?? [], target.column) : walked.updates,
        from: walked.from && change(walked.from, { froms: reads.items }),
        joins: reads.joins,
        where: where(target ? [target.predicate, ...reads.predicates] : reads.predicates, walked.where),
      })
    })
  }

  #delete(node: DeleteQueryNode): OperationNode {
    return this.#inside(node, (walked) => {
      const targets = walked.from.froms.flatMap((item) => this.#target(item)?.predicate ?? [])
      const reads = this.#reads(walked.using?.tables ?? [], walked.joins)
      return change(walked, {
        using: walked.using && change(walked.using, { tables: reads.items }),
        joins: reads.joins,
        where: where([...targets, ...reads.predicates], walked.where),
      })
    })
  }

  #merge(node: MergeQueryNode): OperationNode {
    return this.#inside(node, (walked) => {
      const using = walked.using && change(walked.using, { table: this.#guardedRead(walked.using.table) })
      const target = this.#target(walked.into)
      if (!target) return change(walked, { using })
      return change(walked, {
        using: using && on(using, target.predicate),
        whens: walked.whens?.map((when) => this.#when(when, target)),
      })
    })
  }

  #when(when: WhenNode, { column, predicate }: Target): WhenNode {
    const { condition, result } = when
    const done =
      result && InsertQueryNode.is(result)
        ? this.#values.fill(result, column)
        : result && UpdateQueryNode.is(result) && result.updates
          ? change(result, { updates: this.#values.updates(result.updates, column) })
          : result
    // To be no match of the source is no reason to be touched: another tenant's rows are never one.
    return change(when, {
      condition: isBySource(condition) ? alsoWhen(condition, predicate) : condition,
      result: done,
    })
  }

  #reads(items: readonly OperationNode[], joins: readonly JoinNode[] | undefined): Reads {
    const predicates: OperationNode[] = []
    // WHERE comes after the joins: rows that a right or full join has added for want of a match would be lost by it.
    const extended = joins?.some(({ joinType }) => joinType === 'RightJoin' || joinType === 'FullJoin')
    const last = items.length - 1
    return {
      predicates,
      items: items.map((item, index) => {
        if (extended && index === last) return this.#guardedRead(item)
        const read = this.#read(item)
        if (read?.predicate) predicates.push(read.predicate)
        return read?.item ?? item
      }),
      joins: joins?.map((join) => this.join(join)),
    }
  }

  /** A join of tables: the condition of an inner or left join says what is joined, and so may say whose rows. */
  protected join(join: JoinNode): JoinNode {
    switch (join.joinType) {
      case 'InnerJoin':
      case 'LeftJoin': {
        const read = this.#read(join.table)
        if (!read) return join
        const joined = change(join, { table: read.item })
        return read.predicate ? on(joined, read.predicate) : joined
      }
      default:
        return change(join, { table: this.#guardedRead(join.table) })
    }
  }

  /** A table that is filtered before anything is done with it. */
  #guardedRead(item: OperationNode): OperationNode {
    const read = this.#read(item)
    if (!read?.predicate) return read?.item ?? item
    this.#guards++
    return guarded(read.item, read.predicate, `freehold_guard_${this.#guards}`)
  }

  /** @returns undefined for what is no table of the database, or one whose rows are everybody's. */
  #read(item: OperationNode): Read | undefined {
    const named = namedTable(item)
    if (!named || this.#isInScope(named.table)) return undefined
    const column = this.#columnOf(named)
    if (column === undefined) return undefined
    const predicate = equalsValue(named.calledBy ?? named.table, column, this.#value)
    return named.calledBy ? { item, predicate } : { item: filtered(item, named.table, predicate) }
  }

  /** What is written to is always a table, whatever WITH calls by its name. */
  #target(item: OperationNode): Target | undefined {
    const named = namedTable(item)
    const column = named && this.#columnOf(named)
    if (column === undefined) return undefined
    if (!named?.calledBy) {
      throw new FreeholdError('tenant_not_checkable', 'A table that is written to has an alias of raw SQL.')
    }
    return {
      calledBy: named.calledBy,
      column,
      predicate: equalsValue(named.calledBy, column, this.#value),
    }
  }

  /** @returns undefined for a reference table. */
  #columnOf({ table, continued }: NamedTable): string | undefined {
    const column = this.#tables.tenantColumnOf(table)
    if (column === undefined || !continued) return column
    throw new FreeholdError(
      'tenant_not_checkable',
      'Raw SQL follows the name of a table, where its alias belongs.',
    )
  }

  #isInScope({ table: { schema, identifier } }: TableNode): boolean {
    if (schema) return false
    for (let scope = this.#scope; scope; scope = scope.outer) if (scope.name === identifier.name) return true
    return false
  }
}

interface Target {
  readonly calledBy: TableNode
  readonly column: string
  readonly predicate: OperationNode
}

interface Read {
  readonly item: OperationNode
  /** Missing where the item already is what the tenant may see. */
  readonly predicate?: OperationNode
}

interface Reads {
  readonly items: readonly OperationNode[]
  readonly joins: readonly JoinNode[] | undefined
  /** What WHERE must say besides. */
  readonly predicates: readonly OperationNode[]
}
