import {
  AndNode,
  BinaryOperationNode,
  ColumnNode,
  type JoinNode,
  MatchedNode,
  OnNode,
  type OperationNode,
  OperatorNode,
  ParensNode,
  RawNode,
  ReferenceNode,
  type TableNode,
  ValueNode,
  type WhereNode,
} from 'kysely'
import { change } from './walking.ts'

export function where(
  predicates: readonly OperationNode[],
  present: WhereNode | undefined,
): WhereNode | undefined {
  return predicates.length === 0 ? present : { kind: 'WhereNode', where: allOf(predicates, present?.where) }
}

export function on(join: JoinNode, predicate: OperationNode): JoinNode {
  return change(join, { on: OnNode.create(allOf([predicate], join.on?.on)) })
}

/** Whether the condition of WHEN is `not matched by source`, or that and then what the product has added. */
export function isBySource(condition: OperationNode): boolean {
  return AndNode.is(condition) ? isBySource(condition.left) : MatchedNode.is(condition) && condition.bySource
}

export function alsoWhen(condition: OperationNode, predicate: OperationNode): OperationNode {
  if (!AndNode.is(condition)) return AndNode.create(condition, predicate)
  return MatchedNode.is(condition.left)
    ? AndNode.create(condition.left, allOf([predicate], condition.right))
    : AndNode.create(alsoWhen(condition.left, predicate), condition.right)
}

/**
 * A condition of ON CONFLICT DO UPDATE that is never merely false for a foreign row: to skip it would look as if the
 * row had been written. The text is a boolean to nobody, and is only read when the rows are not the tenant's.
 */
export function ownOrFail(table: TableNode, column: string, own: OperationNode, condition?: OperationNode) {
  const reference = ReferenceNode.create(ColumnNode.create(column), table)
  return RawNode.create(
    [
      'case when ',
      ' then ',
      " else concat('the row in conflict is of another tenant', left(",
      '::text, 0))::boolean end',
    ],
    [own, condition ?? RawNode.createWithSql('true'), reference],
  )
}

/** The predicates and then the condition, if there is one, in parentheses: it may be raw SQL with an OR in it. */
function allOf(predicates: readonly OperationNode[], condition?: OperationNode): OperationNode {
  let all = predicates[0]
  for (let index = 1; index < predicates.length; index++) all = and(all, predicates[index])
  const kept = condition === undefined || isClosed(condition) ? condition : ParensNode.create(condition)
  const whole = and(all, kept)
  if (!whole) throw new RangeError('There is nothing to be true.')
  return whole
}

function and(left: OperationNode | undefined, right: OperationNode | undefined): OperationNode | undefined {
  if (!left || !right) return left ?? right
  const node: AndNode = { kind: 'AndNode', left, right }
  return node
}

/** Whether nothing that stands beside it is taken for a part of it. */
function isClosed(condition: OperationNode): boolean {
  if (ParensNode.is(condition)) return true
  if (!BinaryOperationNode.is(condition) || !OperatorNode.is(condition.operator)) return false
  return isOperand(condition.leftOperand) && isOperand(condition.rightOperand)
}

function isOperand(node: OperationNode): boolean {
  return ReferenceNode.is(node) || (ValueNode.is(node) && !node.immediate)
}
