import type { Rule, Scope } from 'eslint'
import type { Expression, Identifier, Node, Pattern, Property, Super } from 'estree'

/** What a name stands for, as far as the file itself shows it. */
export type Binding =
  | { readonly kind: 'import'; readonly module: string; readonly imported: string }
  | { readonly kind: 'parameter' }
  /** A constant. `path`: the property by which it was taken out of the value, if it was destructured. */
  | { readonly kind: 'constant'; readonly init: Expression; readonly property: string | undefined }
  | { readonly kind: 'unknown' }

const UNKNOWN: Binding = { kind: 'unknown' }

/** Looks up what an identifier stands for where it is used. */
export function bindingOf(context: Rule.RuleContext, identifier: Identifier): Binding {
  const definition = variableOf(context, identifier)?.defs[0]
  if (!definition) return UNKNOWN
  if (definition.type === 'Parameter') return { kind: 'parameter' }
  if (definition.type === 'ImportBinding') {
    const specifier = definition.node
    const imported =
      specifier.type === 'ImportSpecifier'
        ? nameOf(specifier.imported)
        : specifier.type === 'ImportDefaultSpecifier'
          ? 'default'
          : '*'
    return { kind: 'import', module: String(definition.parent?.source.value), imported: imported ?? '' }
  }
  if (definition.type === 'Variable' && definition.node.init) {
    return {
      kind: 'constant',
      init: definition.node.init,
      property: propertyIn(definition.node.id, identifier.name),
    }
  }
  return UNKNOWN
}

/** The name of a property or of what is imported, unless it is computed. */
export function nameOf(node: Node | Super): string | undefined {
  if (node.type === 'Identifier') return node.name
  if (node.type === 'PrivateIdentifier') return node.name
  if (node.type === 'Literal' && typeof node.value === 'string') return node.value
  return undefined
}

/** The property that a member expression reads: `a.b` and `a['b']` read b. */
export function memberName(node: Node): string | undefined {
  if (node.type !== 'MemberExpression') return undefined
  if (!node.computed) return nameOf(node.property)
  return node.property.type === 'Literal' ? nameOf(node.property) : undefined
}

/** What an expression is once `await`, `!`, `as` and `?.` are taken away. */
export function bare(node: Node): Node {
  const inner: unknown =
    node.type === 'AwaitExpression'
      ? node.argument
      : 'expression' in node && WRAPPERS.has(node.type)
        ? node.expression
        : undefined
  return isNode(inner) ? bare(inner) : node
}

/** The types that TypeScript's parser adds are not in the specification's. */
const WRAPPERS = new Set<string>([
  'ChainExpression',
  'TSAsExpression',
  'TSNonNullExpression',
  'TSSatisfiesExpression',
  'TSTypeAssertion',
])

/** Whether a value is a part of a syntax tree. */
export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value
}

function variableOf(context: Rule.RuleContext, identifier: Identifier): Scope.Variable | undefined {
  for (let scope: Scope.Scope | null = context.sourceCode.getScope(identifier); scope; scope = scope.upper) {
    const variable = scope.set.get(identifier.name)
    if (variable) return variable
  }
  return undefined
}

/** Under which property `{ db }`, `{ db: mine }` or `{ context: { db } }` takes a name out. */
function propertyIn(pattern: Pattern, name: string): string | undefined {
  if (pattern.type !== 'ObjectPattern') return undefined
  for (const property of pattern.properties) {
    if (property.type !== 'Property') continue
    const value = property.value.type === 'AssignmentPattern' ? property.value.left : property.value
    if (value.type === 'Identifier' && value.name === name) return keyOf(property)
    const inside = propertyIn(value, name)
    if (inside !== undefined) return inside
  }
  return undefined
}

/** The key of a property, unless it is computed. */
export function keyOf(property: Pick<Property, 'key' | 'computed'>): string | undefined {
  return property.computed ? undefined : nameOf(property.key)
}
