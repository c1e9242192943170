import type { OperationNode, OperationNodeKind } from 'kysely'

/** Nodes that hold no query. Values above all: they are the product's data, whatever they look like. */
const LEAVES: ReadonlySet<OperationNodeKind> = new Set<OperationNodeKind>([
  'ColumnNode',
  'DataTypeNode',
  'DefaultInsertValueNode',
  'IdentifierNode',
  'MatchedNode',
  'OperatorNode',
  'PrimitiveValueListNode',
  'ReferenceNode',
  'SchemableIdentifierNode',
  'SelectAllNode',
  'TableNode',
  'ValueNode',
])

export function isLeaf(node: OperationNode): boolean {
  return LEAVES.has(node.kind)
}

/** The node with its children mapped; the node itself when none has changed. */
export function mapChildren<T extends OperationNode>(
  node: T,
  map: (child: OperationNode) => OperationNode,
): T {
  let changes: Record<string, unknown> | undefined
  for (const key in node) {
    const child: unknown = node[key]
    if (typeof child !== 'object' || child === null) continue
    const mapped = Array.isArray(child) ? mapList(child, map) : isNode(child) ? map(child) : child
    if (mapped === child) continue
    changes ??= {}
    changes[key] = mapped
  }
  return changes ? Object.assign({}, node, changes) : node
}

function mapList(list: readonly unknown[], map: (child: OperationNode) => OperationNode): readonly unknown[] {
  let changed: unknown[] | undefined
  for (let index = 0; index < list.length; index++) {
    const child = list[index]
    if (!isNode(child)) continue
    const mapped = map(child)
    if (mapped === child) continue
    changed ??= [...list]
    changed[index] = mapped
  }
  return changed ?? list
}

function isNode(value: unknown): value is OperationNode {
  return typeof value === 'object' && value !== null && 'kind' in value
}

/** A node that differs in some of its fields; undefined is a field's way not to be there. */
export function change<T extends OperationNode>(node: T, changes: { [K in keyof T]?: T[K] | undefined }): T {
  return Object.assign({}, node, changes)
}
