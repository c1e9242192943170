import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import freehold from '@freehold/tenancy/eslint'
import * as parser from '@typescript-eslint/parser'
import { type ESLint, Linter, RuleTester } from 'eslint'
import t from 'tap'

const folder = fileURLToPath(new URL('../../../', import.meta.url))
const language = { parser, ecmaVersion: 'latest', sourceType: 'module' } as const
const tester = new RuleTester({ languageOptions: language })

// RuleTester reports to a framework's describe and it.
RuleTester.describe = (_name: string, work: () => void) => work()
RuleTester.it = (name: string, work: () => void) => void t.test(name.slice(0, 100), async () => work())

const SQL = `import { sql } from 'kysely'\n`
const KYSELY = `import { Kysely, PostgresDialect, sql } from 'kysely'\n`
const found = (...ids: string[]) => ids.map((messageId) => ({ messageId }))

tester.run('no-unscoped-database', freehold.rules['no-unscoped-database'], {
  valid: [
    `import { createRouter } from '@freehold/tenancy'`,
    `import type { Pool } from 'pg'; export function f(pool: Pool) {}`,
    `import { type Pool } from 'pg'`,
    `export type { Pool } from 'pg'`,
    `import { Pool } from 'undici'; new Pool('http://x')`,
    `import type { Kysely } from 'kysely'; export const f = (db: Kysely<object>) => db.selectFrom('x')`,
    `import pg from 'pg'; export const f = (error) => error instanceof pg.DatabaseError`,
    `import { DatabaseError } from 'pg'`,
    `class Kysely {} new Kysely()`,
    `${SQL}app.get('/', (request) => sql\`select 1\`.execute(request.db))`,
    `${SQL}export const f = (db) => sql\`select 1\`.execute(db)`,
    `${SQL}export const f = (request) => { const { db } = request; return sql\`select 1\`.execute(db) }`,
    `${SQL}export const f = (request) => { const db = request.db!; return sql\`select 1\`.execute(db) }`,
    `${SQL}const { db } = currentTenant(); await sql\`select 1\`.execute(db)`,
    `${SQL}await sql\`select 1\`.execute(currentTenant().db)`,
    `${SQL}await sql\`select 1\`.execute(router.forTenant(id))`,
    `${SQL}const db = router.forTenant(id).withSchema('x'); await sql\`select 1\`.execute(db)`,
    `${SQL}await request.db.transaction().execute(async (trx) => { await sql\`select 1\`.execute(trx) })`,
    `${SQL}const trx = await request.db.startTransaction().execute(); await sql\`select 1\`.execute(trx)`,
    `${SQL}class Orders { all() { return sql\`select 1\`.execute(this.db) } }`,
    `${SQL}export const set = (db, role) => sql\`update people set role = \${role}\`.execute(db)`,
    `${SQL}export const f = (db) => sql\`select reset, role from begin_times\`.execute(db)`,
    `${SQL}export const f = () => sql.raw('now()')`,
    `${SQL}const NOW = 'now()'; export const f = () => sql.raw(NOW)`,
    `${SQL}export const f = (name) => sql.ref(name)`,
    `const sql = String.raw; sql\`set role x\``,
    `queue.execute(job); new Map(); command.raw(text)`,
    {
      code: `import pg from 'pg'`,
      options: [{ allow: ['src/database/**'] }],
      filename: join(folder, 'src/database/a/b.ts'),
    },
    {
      code: `import pg from 'pg'`,
      options: [{ allow: ['**/*.migration.ts'] }],
      filename: join(folder, 'src/x.migration.ts'),
    },
  ],
  invalid: [
    ...[
      'pg',
      'postgres',
      'pg-promise',
      'drizzle-orm',
      'drizzle-orm/node-postgres',
      '@prisma/client',
      'knex',
    ].map((module) => ({ code: `import client from '${module}'`, errors: found('client') })),
    { code: `import pg from 'pg'; pg.defaults.max = 1`, errors: found('client') },
    { code: `import pg, { DatabaseError } from 'pg'; connect(pg)`, errors: found('client') },
    { code: `import 'pg'`, errors: found('client') },
    { code: `export { Pool } from 'pg'`, errors: found('client') },
    { code: `export * from 'pg'`, errors: found('client') },
    { code: `const pg = await import('pg')`, errors: found('client') },
    { code: `const { Pool } = require('pg')`, errors: found('client') },
    {
      code: `import x from 'our-database'`,
      options: [{ modules: ['our-database'] }],
      errors: found('client'),
    },
    {
      code: `import pg from 'pg'`,
      options: [{ allow: ['src/database/**'] }],
      filename: join(folder, 'src/routes/b.ts'),
      errors: found('client'),
    },
    {
      code: `import { Pool } from 'pg'; export const pool = new Pool()`,
      errors: found('client', 'instance'),
    },
    { code: `import pg from 'pg'; export const c = new pg.Client()`, errors: found('client', 'instance') },
    {
      code: `import { PrismaClient } from '@prisma/client'; new PrismaClient()`,
      errors: found('client', 'instance'),
    },
    {
      code: `${KYSELY}export const db = new Kysely({ dialect: new PostgresDialect({ pool }) })`,
      errors: found('instance', 'instance'),
    },
    { code: `import { Kysely as K } from 'kysely'; new K({})`, errors: found('instance') },
    { code: `import * as k from 'kysely'; new k.Kysely({})`, errors: found('instance') },
    {
      code: `${SQL}import { db } from './db.ts'; await sql\`select 1\`.execute(db)`,
      errors: found('execute'),
    },
    {
      code: `${SQL}import shared from './db.ts'; await sql\`select 1\`.execute(shared.db)`,
      errors: found('execute'),
    },
    {
      code: `${SQL}import shared from './db.ts'; const { db } = shared; await sql\`select 1\`.execute(db)`,
      errors: found('execute'),
    },
    { code: `${SQL}const db = makeDatabase(); await sql\`select 1\`.execute(db)`, errors: found('execute') },
    { code: `${SQL}await sql\`select 1\`.execute(globalDb)`, errors: found('execute') },
    {
      code: `${SQL}import { db } from './db.ts'; const q = sql\`select 1\`; await q.execute(db)`,
      errors: found('execute'),
    },
    {
      code: `import { sql as s } from 'kysely'; import { db } from './db.ts'; await s\`select 1\`.execute(db)`,
      errors: found('execute'),
    },
    ...[
      'set search_path to x',
      'set local search_path = x',
      'SET ROLE admin',
      'set session authorization x',
      'set local app.tenant_id = 1',
      'reset role',
      'reset all',
      'discard all',
      'select set_config(1, 2, false)',
      'select 1; set role x',
      '/* why */ set role x',
      'begin',
      'commit',
      'rollback',
    ].map((text) => ({
      code: `${SQL}export const f = (db) => sql\`${text}\`.execute(db)`,
      errors: found('session'),
    })),
    {
      code: `${SQL}export const f = (db, t) => sql\`select set_config('app.tenant', \${t}, true)\`.execute(db)`,
      errors: found('session'),
    },
    { code: `${SQL}export const f = () => sql.raw('set role x')`, errors: found('session') },
    { code: `${SQL}export const f = (x) => sql.raw(x)`, errors: found('raw') },
    { code: `${SQL}export const f = (x) => sql.raw(\`select \${x}\`)`, errors: found('raw') },
    { code: `${SQL}let text = 'a' + b; export const f = () => sql.raw(text)`, errors: found('raw') },
    { code: `export const f = (db) => db.withoutPlugins().selectFrom('x')`, errors: found('plugins') },
  ],
})

tester.run('no-tenant-from-input', freehold.rules['no-tenant-from-input'], {
  valid: [
    'const id = request.tenant.id',
    'const { tenant } = request',
    'const name = request.body.name',
    'if (request.body.tenantId !== request.tenant.id) throw new Error()',
    `if (req.headers['x-tenant-id'] === tenant.id) next()`,
    'const { tenantId } = job.data',
    'const { tenantId } = response.body',
    'const id = user.tenantId',
    'const tenantId = request.params.tenantId',
    `map.get('tenantId')`,
    { code: 'request.body.tenantId', options: [{ names: ['org'] }] },
  ],
  invalid: [
    { code: 'const id = request.body.tenantId', errors: found('input') },
    { code: 'const id = request.body?.tenant_id', errors: found('input') },
    { code: 'const id = (request.body as Body).tenantId', errors: found('input') },
    { code: `const id = req.query['tenant']`, errors: found('input') },
    { code: `const id = req.headers['x-tenant-id']`, errors: found('input') },
    { code: `const id = req.get('X-Tenant')`, errors: found('input') },
    { code: `const id = c.req.header('X-Tenant-ID')`, errors: found('input') },
    { code: `const id = request.headers.get('x-tenant-id')`, errors: found('input') },
    { code: 'const { tenantId } = request.body', errors: found('input') },
    { code: 'const { tenantId: id = 1, ...rest } = request.query', errors: found('input') },
    { code: 'const { body: { tenantId } } = request', errors: found('input') },
    { code: 'const body = request.body; use(body.tenantId)', errors: found('input') },
    { code: 'const { body } = request; use(body.tenantId)', errors: found('input') },
    { code: 'const { tenant } = ctx.request.body', errors: found('input') },
    { code: 'const id = request.body.org_id', options: [{ names: ['orgId'] }], errors: found('input') },
  ],
})

t.test('the example product is clean, and a planted violation is not', async (t) => {
  const linter = new Linter({ cwd: folder })
  const config: Linter.Config[] = [
    { files: ['**/*.ts'], languageOptions: language, ...freehold.configs.recommended },
  ]
  const lint = (code: string, filename: string) =>
    linter.verify(code, config, { filename: join(folder, filename) })
  const files = (await readdir(join(folder, 'apps/product-api/src'), { recursive: true })).filter((name) =>
    name.endsWith('.ts'),
  )
  t.ok(files.length > 10)
  for (const name of files) {
    const file = join('apps/product-api/src', name)
    t.same(lint(await readFile(join(folder, file), 'utf8'), file), [], file)
  }
  const orders = 'apps/product-api/src/orders/read-order.ts'
  const code = await readFile(join(folder, orders), 'utf8')
  const planted = `import pg from 'pg'\n${code}\nexport const pool = new pg.Pool()\n`
  t.match(lint(planted, orders), [
    { ruleId: '@freehold/tenancy/no-unscoped-database', messageId: 'client', line: 1 },
    { ruleId: '@freehold/tenancy/no-unscoped-database', messageId: 'instance' },
  ])
  const plugin: ESLint.Plugin = freehold
  t.same(Object.keys(plugin.rules ?? {}), Object.keys(freehold.rules))
})
