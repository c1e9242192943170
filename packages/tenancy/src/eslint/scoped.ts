import type { Rule } from 'eslint'
import type { Node } from 'estree'
import { bare, bindingOf, memberName } from './bindings.ts'

/** Where the router's instances are found on what the router hands out. */
const SCOPED_PROPERTIES: ReadonlySet<string> = new Set(['db', 'trx'])
const SCOPED_CALLS: ReadonlySet<string> = new Set(['forTenant'])

/**
 * Whether an expression is a database that the router has handed out, as far as this file shows: `request.db`,
 * `currentTenant().db`, `router.forTenant(id)`, a parameter of a function, or a constant made of one of them. What was
 * imported from another module is not, nor what was made here.
 */
export function isScoped(context: Rule.RuleContext, expression: Node): boolean {
  const node = bare(expression)
  switch (node.type) {
    case 'Identifier': {
      const binding = bindingOf(context, node)
      if (binding.kind === 'parameter') return true
      if (binding.kind !== 'constant') return false
      return binding.property === undefined
        ? isScoped(context, binding.init)
        : SCOPED_PROPERTIES.has(binding.property) && !comesFromOutside(context, binding.init)
    }
    case 'MemberExpression':
      return SCOPED_PROPERTIES.has(memberName(node) ?? '') && !comesFromOutside(context, node.object)
    case 'CallExpression': {
      const called = node.callee
      if (called.type !== 'MemberExpression') return false
      if (SCOPED_CALLS.has(memberName(called) ?? '')) return true
      // db.withSchema(...), db.startTransaction().execute(): of what they were called on.
      return isScoped(context, called.object)
    }
    case 'ConditionalExpression':
      return isScoped(context, node.consequent) && isScoped(context, node.alternate)
    case 'LogicalExpression':
      return isScoped(context, node.left) && isScoped(context, node.right)
    default:
      return false
  }
}

/** Whether an object is a module's, and so the same for all tenants. */
function comesFromOutside(context: Rule.RuleContext, object: Node): boolean {
  const node = bare(object)
  if (node.type === 'MemberExpression') return comesFromOutside(context, node.object)
  if (node.type !== 'Identifier') return node.type === 'NewExpression'
  const binding = bindingOf(context, node)
  if (binding.kind === 'constant') return comesFromOutside(context, binding.init)
  return binding.kind === 'import'
}
