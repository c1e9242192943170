import type { Rule } from 'eslint'
import type {
  CallExpression,
  ImportDeclaration,
  Node,
  SimpleCallExpression,
  TaggedTemplateExpression,
} from 'estree'
import { bare, bindingOf, isNode, memberName, nameOf } from './bindings.ts'
import { isMeant } from './file-patterns.ts'
import { isScoped } from './scoped.ts'
import { sessionChange } from './session-statements.ts'

const CLIENTS = [
  'pg',
  'pg-pool',
  'pg-native',
  'pg-promise',
  'postgres',
  'drizzle-orm',
  '@prisma/client',
  'knex',
  'slonik',
  'typeorm',
  'sequelize',
  '@electric-sql/pglite',
  '@fastify/postgres',
  '@mikro-orm/postgresql',
  '@neondatabase/serverless',
  '@vercel/postgres',
  'kysely-neon',
  'kysely-postgres-js',
] as const

/** What makes a Kysely of one's own. */
const MAKERS: ReadonlySet<string> = new Set(['Kysely', 'PostgresDialect', 'PostgresJSDialect'])
/** What `pg` has besides connections. */
const HARMLESS: ReadonlySet<string> = new Set(['DatabaseError', 'escapeIdentifier', 'escapeLiteral', 'types'])
const CONNECTIONS: ReadonlySet<string> = new Set(['Pool', 'Client'])

interface Options {
  readonly allow?: readonly string[]
  readonly modules?: readonly string[]
}

/**
 * Flags ways to a database that no tenant has entered. It judges one file at a time: a parameter is taken for scoped,
 * and what is imported from another module for not.
 */
export const noUnscopedDatabase: Rule.RuleModule = {
  meta: {
    type: 'problem',
    docs: { description: 'a database is reached through the router only, as one tenant' },
    schema: [
      {
        type: 'object',
        additionalProperties: false,
        properties: {
          allow: {
            description: 'files, relative to the folder that is linted, that may reach a database themselves',
            type: 'array',
            items: { type: 'string' },
          },
          modules: {
            description: 'further modules that are database clients',
            type: 'array',
            items: { type: 'string' },
          },
        },
      },
    ],
    messages: {
      client:
        "'{{module}}' connects to a database past the router, as no tenant. Use request.db or router.forTenant(id).",
      instance:
        'new {{name}} is a database of its own, which no tenant has entered. Use request.db or router.forTenant(id).',
      execute:
        'This SQL is run on something that did not come from the router. Run it on request.db or on the db of your parameters.',
      session: '{{statement}} changes the session or the transaction, which the router looks after.',
      raw: 'sql.raw() with text that is put together at run time is how another tenant is injected. Use parameters, sql.ref() or sql.table().',
      plugins: "withoutPlugins() takes the router's tenant predicate away.",
    },
  },
  create(context) {
    const options = optionsOf(context)
    if (isMeant(context.filename, context.cwd, options.allow ?? [])) return {}
    const clients = new Set<string>([...CLIENTS, ...(options.modules ?? [])])
    const isClient = (module: unknown): module is string =>
      typeof module === 'string' &&
      (clients.has(module) || [...clients].some((name) => module.startsWith(`${name}/`)))
    const reportClient = (node: Node, module: unknown) => {
      if (isClient(module)) context.report({ node, messageId: 'client', data: { module } })
    }

    return {
      ImportDeclaration(node) {
        if (!isTypeOnly(node) && !isHarmless(context, node)) reportClient(node, node.source.value)
      },
      ExportNamedDeclaration(node) {
        if (node.source && !isTypeOnly(node)) reportClient(node, node.source.value)
      },
      ExportAllDeclaration(node) {
        if (!isTypeOnly(node)) reportClient(node, node.source.value)
      },
      ImportExpression(node) {
        if (node.source.type === 'Literal') reportClient(node, node.source.value)
      },
      NewExpression(node) {
        const name = madeBy(context, node.callee, isClient)
        if (name !== undefined) context.report({ node, messageId: 'instance', data: { name } })
      },
      TaggedTemplateExpression(node) {
        if (!isSql(context, node.tag)) return
        const statement = sessionChange(textOf(node))
        if (statement !== undefined) context.report({ node, messageId: 'session', data: { statement } })
      },
      CallExpression(node) {
        const {
          callee,
          arguments: [argument],
        } = node
        if (callee.type === 'Identifier' && callee.name === 'require' && argument?.type === 'Literal') {
          reportClient(node, argument.value)
        }
        if (callee.type !== 'MemberExpression') return
        const method = memberName(callee)
        if (method === 'withoutPlugins') context.report({ node, messageId: 'plugins' })
        if (method === 'raw' && argument && isSql(context, callee.object)) reportRaw(context, node, argument)
        if (
          method === 'execute' &&
          argument &&
          isSqlFragment(context, callee.object) &&
          !isScoped(context, argument)
        ) {
          context.report({ node: argument, messageId: 'execute' })
        }
      },
    }
  },
}

function optionsOf(context: Rule.RuleContext): Options {
  const [options] = context.options
  return options ?? {}
}

/** Whether only types are imported; they are gone when the program runs. */
function isTypeOnly(node: Node): boolean {
  if (
    ('importKind' in node && node.importKind === 'type') ||
    ('exportKind' in node && node.exportKind === 'type')
  ) {
    return true
  }
  return (
    node.type === 'ImportDeclaration' &&
    node.specifiers.length > 0 &&
    node.specifiers.every((specifier) => 'importKind' in specifier && specifier.importKind === 'type')
  )
}

/** Whether nothing of `pg` is used that connects: `error instanceof pg.DatabaseError`. */
function isHarmless(context: Rule.RuleContext, node: ImportDeclaration): boolean {
  if (node.source.value !== 'pg' || node.specifiers.length === 0) return false
  return node.specifiers.every((specifier) => {
    if (specifier.type === 'ImportSpecifier') return HARMLESS.has(nameOf(specifier.imported) ?? '')
    const references = context.sourceCode.getDeclaredVariables(specifier).flatMap((one) => one.references)
    return references.length > 0 && references.every(({ identifier }) => readsHarmless(identifier))
  })
}

function readsHarmless(identifier: object): boolean {
  const parent = 'parent' in identifier ? identifier.parent : undefined
  return isNode(parent) && parent.type === 'MemberExpression' && HARMLESS.has(memberName(parent) ?? '')
}

/** The name of the class, if an instance of it is a database. */
function madeBy(
  context: Rule.RuleContext,
  callee: Node,
  isClient: (module: unknown) => boolean,
): string | undefined {
  const object = callee.type === 'MemberExpression' ? callee.object : callee
  if (object.type !== 'Identifier') return undefined
  const binding = bindingOf(context, object)
  if (binding.kind !== 'import') return undefined
  const name = callee.type === 'MemberExpression' ? memberName(callee) : binding.imported
  if (name === undefined) return undefined
  if (typeof binding.module === 'string' && /^kysely/.test(binding.module) && MAKERS.has(name)) return name
  return isClient(binding.module) && (CONNECTIONS.has(name) || name === 'PrismaClient') ? name : undefined
}

/** Whether an expression is Kysely's `sql`. */
function isSql(context: Rule.RuleContext, node: Node): boolean {
  if (node.type !== 'Identifier') return false
  const binding = bindingOf(context, node)
  return binding.kind === 'import' && binding.module === 'kysely' && binding.imported === 'sql'
}

/** Whether an expression is a piece of raw SQL: sql`...`, sql.raw(...), or a constant made of one. */
function isSqlFragment(context: Rule.RuleContext, expression: Node): boolean {
  const node = bare(expression)
  if (node.type === 'TaggedTemplateExpression') return isSql(context, node.tag)
  if (node.type === 'CallExpression' && node.callee.type === 'MemberExpression') {
    return isSql(context, node.callee.object)
  }
  if (node.type !== 'Identifier') return false
  const binding = bindingOf(context, node)
  return binding.kind === 'constant' && binding.property === undefined && isSqlFragment(context, binding.init)
}

/** The text of a template, its parameters as placeholders. */
function textOf(node: TaggedTemplateExpression): string {
  return node.quasi.quasis.map(({ value }) => value.cooked ?? value.raw).join(' $ ')
}

function reportRaw(
  context: Rule.RuleContext,
  node: SimpleCallExpression | CallExpression,
  argument: Node,
): void {
  const text = literalText(context, argument)
  if (text === undefined) {
    context.report({ node, messageId: 'raw' })
    return
  }
  const statement = sessionChange(text)
  if (statement !== undefined) context.report({ node, messageId: 'session', data: { statement } })
}

/** The text of an expression that is the same whenever the program runs. */
function literalText(context: Rule.RuleContext, expression: Node): string | undefined {
  const node = bare(expression)
  if (node.type === 'Literal') return typeof node.value === 'string' ? node.value : undefined
  if (node.type === 'TemplateLiteral') {
    return node.expressions.length === 0
      ? node.quasis.map(({ value }) => value.cooked ?? value.raw).join('')
      : undefined
  }
  if (node.type !== 'Identifier') return undefined
  const binding = bindingOf(context, node)
  return binding.kind === 'constant' && binding.property === undefined
    ? literalText(context, binding.init)
    : undefined
}
