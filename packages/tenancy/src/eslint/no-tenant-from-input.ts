import type { Rule } from 'eslint'
import type { Node } from 'estree'
import { bare, bindingOf, keyOf, memberName } from './bindings.ts'

const REQUESTS: ReadonlySet<string> = new Set(['request', 'req', 'ctx', 'context', 'c'])
const SOURCES: ReadonlySet<string> = new Set(['body', 'query', 'headers', 'cookies'])
const NAMES = ['tenant', 'tenantId', 'tenantSlug'] as const

interface Options {
  readonly names?: readonly string[]
}

/**
 * Flags a tenant that is read from the body, the query, the headers or the cookies of a request: whoever sends it
 * chooses it. To compare it with the tenant of the request is allowed. It knows requests by their name (`request`,
 * `req`, `ctx`, `context`, `c`), and follows constants within the file.
 */
export const noTenantFromInput: Rule.RuleModule = {
  meta: {
    type: 'problem',
    docs: { description: 'the tenant of a request is never what its client names' },
    schema: [
      {
        type: 'object',
        additionalProperties: false,
        properties: {
          names: {
            description: 'what a tenant is called in requests, instead of tenant, tenantId and tenantSlug',
            type: 'array',
            items: { type: 'string' },
          },
        },
      },
    ],
    messages: {
      input:
        "'{{name}}' is what the client says. The tenant is request.tenant, from a token that was verified.",
    },
  },
  create(context) {
    const [options = {}]: Options[] = context.options
    const names = new Set((options.names ?? NAMES).map(normalise))
    const isTenantName = (name: string | undefined): name is string =>
      name !== undefined && names.has(normalise(name))
    const report = (node: Node, name: string) => context.report({ node, messageId: 'input', data: { name } })

    return {
      MemberExpression(node) {
        const name = memberName(node)
        if (isTenantName(name) && isInput(context, node.object) && !isCompared(node)) report(node, name)
      },
      VariableDeclarator(node) {
        if (node.id.type !== 'ObjectPattern' || !node.init) return
        const source = node.init
        for (const property of node.id.properties) {
          if (property.type !== 'Property') continue
          const name = keyOf(property)
          if (isTenantName(name) && isInput(context, source)) report(property, name)
          if (property.value.type !== 'ObjectPattern' || !SOURCES.has(name ?? '') || !isRequest(source))
            continue
          for (const inner of property.value.properties) {
            const innerName = inner.type === 'Property' ? keyOf(inner) : undefined
            if (isTenantName(innerName)) report(inner, innerName)
          }
        }
      },
      CallExpression(node) {
        const {
          callee,
          arguments: [argument],
        } = node
        const method = memberName(callee)
        if (callee.type !== 'MemberExpression' || (method !== 'get' && method !== 'header')) return
        const name =
          argument?.type === 'Literal' && typeof argument.value === 'string' ? argument.value : undefined
        const isHeader = isRequest(callee.object) || isInput(context, callee.object)
        if (isTenantName(name) && isHeader && !isCompared(node)) report(node, name)
      },
    }
  },
}

/** `X-Tenant-Id`, `tenant_id` and `tenantId` are one name. */
const normalise = (name: string): string => name.toLowerCase().replace(/^x-/, '').replaceAll(/[-_]/g, '')

/** Whether an expression is the body, query, headers or cookies of a request. */
function isInput(context: Rule.RuleContext, expression: Node): boolean {
  const node = bare(expression)
  if (node.type === 'MemberExpression') return SOURCES.has(memberName(node) ?? '') && isRequest(node.object)
  if (node.type !== 'Identifier') return false
  const binding = bindingOf(context, node)
  if (binding.kind !== 'constant') return false
  if (binding.property === undefined) return isInput(context, binding.init)
  return SOURCES.has(binding.property) && isRequest(binding.init)
}

function isRequest(expression: Node): boolean {
  const node = bare(expression)
  if (node.type === 'Identifier') return REQUESTS.has(node.name)
  return node.type === 'MemberExpression' && REQUESTS.has(memberName(node) ?? '')
}

/** `request.body.tenantId !== request.tenant.id` takes nothing over. */
function isCompared(node: Node & Partial<Rule.NodeParentExtension>): boolean {
  const parent = node.parent?.type === 'ChainExpression' ? node.parent.parent : node.parent
  return parent?.type === 'BinaryExpression' && /^[!=]==?$/.test(parent.operator)
}
