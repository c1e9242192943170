// The guide docs/adopt-the-router.md, carried out: its blocks are taken from the text and run on a product that is in use.
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { parseEnv, promisify } from 'node:util'
import { startTemporaryCluster, type TemporaryCluster } from '@freehold/local'
import { type DatabaseAddress, formatDatabaseUrl, withClient } from '@freehold/postgres'
import t from 'tap'
import { signJwt } from '../kit/control-api.ts'

const run = promisify(execFile)
const repository = new URL('../..', import.meta.url).pathname
const guide = await readFile(join(repository, 'docs/adopt-the-router.md'), 'utf8')

// Inside the repository, so that the product finds its packages.
const folder = await mkdtemp(join(repository, 'test/docs/.product-'))
const cluster = await startTemporaryCluster('adopting')
t.teardown(async () => {
  await cluster.remove()
  await rm(folder, { recursive: true })
})

const ACCOUNTS = [1n, 2n, 9_007_199_254_740_993n]
const JWT_SECRET = 'a secret of the product for its tokens'
const admin = cluster.address('product')
const owner: DatabaseAddress = { ...admin, user: 'product', password: 'product' }
await createProduct(cluster)

/** A product that is in use: its own role, three accounts with rows, and no thought of Freehold. */
async function createProduct(on: TemporaryCluster): Promise<void> {
  await withClient(on.address('postgres'), 'test', async (client) => {
    await client.query(`create role product login password 'product'`)
    await client.query('create database product owner product')
  })
  await withClient(owner, 'test', async (client) => {
    await client.query(`
      create table plans (id text primary key);
      create table accounts (id bigint primary key, plan text not null references plans);
      create table projects (
        account_id bigint not null references accounts,
        id bigint generated always as identity,
        name text not null,
        primary key (account_id, id)
      );
      create table tasks (
        account_id bigint not null,
        id bigserial,
        project_id bigint not null,
        title text not null,
        done boolean not null default false,
        primary key (account_id, id),
        foreign key (account_id, project_id) references projects on delete cascade
      );
      insert into plans values ('free')`)
    for (const account of ACCOUNTS) {
      await client.query(`insert into accounts values ($1, 'free')`, [account])
      await client.query(`insert into projects (account_id, name) values ($1, 'of ' || $1::bigint)`, [
        account,
      ])
    }
  })
}

/** The block after `<!-- file: name -->`. */
function block(name: string): string {
  const found = guide.split(`<!-- file: ${name} -->\n`)[1]?.match(/^```\w+\n([\s\S]*?)^```/m)?.[1]
  if (found === undefined) throw new Error(`The guide has no block ${name}.`)
  return found
}

function command(start: string): string {
  const found = guide.split('\n').find((line) => line.startsWith(start))
  if (found === undefined) throw new Error(`The guide has no command ${start}.`)
  return found
}

/** Runs a command line of the guide, where `npx @freehold/cli` is this repository's. */
async function shell(line: string): Promise<{ stdout: string; code: number }> {
  const bin = join(folder, 'bin')
  await mkdir(bin, { recursive: true })
  const main = join(repository, 'apps/cli/src/main.ts')
  await writeFile(
    join(bin, 'npx'),
    `#!/bin/sh\nshift\nexec "${process.execPath}" --conditions=@freehold/source "${main}" "$@"\n`,
  )
  await chmod(join(bin, 'npx'), 0o755)
  const env = {
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    ADMIN_URL: formatDatabaseUrl(admin),
    DATABASE_OWNER_URL: formatDatabaseUrl(owner),
  }
  try {
    const { stdout } = await run('sh', ['-c', line], { cwd: folder, env })
    return { stdout, code: 0 }
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'number' && 'stdout' in error) {
      return { stdout: `${error.stdout}${'stderr' in error ? error.stderr : ''}`, code: error.code }
    }
    throw error
  }
}

t.test('1. adopting the database touches no table, and may be repeated', async (t) => {
  const adopt = command('npx @freehold/cli adopt')
  const before = await tablesOf()
  const first = await shell(adopt)
  t.match(first, { code: 0, stdout: /tenants let in now: 3, already in: 0/ })
  const environment = await readFile(join(folder, '.env.freehold'), 'utf8')
  t.equal((await stat(join(folder, '.env.freehold'))).mode & 0o777, 0o600)
  t.notMatch(first.stdout, Object.values(parseEnv(environment))[0] ?? '', 'no secret is printed')
  t.match(await shell(adopt), { code: 0, stdout: /tenants let in now: 0, already in: 3/ })
  t.equal(await readFile(join(folder, '.env.freehold'), 'utf8'), environment, 'the same passwords and secret')
  t.equal(await tablesOf(), before)
})

async function tablesOf(): Promise<string> {
  return withClient(admin, 'test', async (client) => {
    const { rows } = await client.query(
      `select relname, relrowsecurity, relforcerowsecurity, relowner::regrole::text, relacl::text
       from pg_class where relnamespace = 'public'::regnamespace order by 1`,
    )
    return JSON.stringify(rows)
  })
}

t.test('2 and 3. the product sees its own rows only, once its tables are protected', async (t) => {
  await withClient(owner, 'test', (client) => client.query(block('grant.sql')))
  await withClient(owner, 'test', (client) => client.query(block('protect.sql')))
  await writeFile(join(folder, 'app.ts'), block('app.ts'))
  const { buildApp } = await import(join(folder, 'app.ts'))
  const settings = { ...parseEnv(await readFile(join(folder, '.env.freehold'), 'utf8')), JWT_SECRET }
  const app = await buildApp(settings)
  t.teardown(() => app.close())
  const exp = Math.floor(Date.now() / 1000) + 600
  const as = (account: bigint) => {
    const token = signJwt(
      { alg: 'HS256', typ: 'JWT' },
      { account: account < Number.MAX_SAFE_INTEGER ? Number(account) : String(account), exp },
      JWT_SECRET,
    )
    return { authorization: `Bearer ${token}` }
  }

  for (const account of ACCOUNTS) {
    const answer = await app.inject({ url: '/projects', headers: as(account) })
    t.equal(answer.statusCode, 200, answer.body)
    t.match(answer.json(), [{ account_id: String(account), name: `of ${account}` }])
    t.equal(answer.json().length, 1)
  }
  const payload = { name: 'new', tasks: ['one', 'two'] }
  const made = await app.inject({ method: 'POST', url: '/projects', headers: as(2n), payload })
  t.match(made.json(), { account_id: '2', name: 'new' }, made.body)
  t.equal((await app.inject({ url: '/projects', headers: as(1n) })).json().length, 1)

  const unknown = await app.inject({ url: '/projects', headers: as(4n) })
  t.equal(unknown.statusCode, 403)
  await withClient(owner, 'test', (client) => client.query(`insert into accounts values (4, 'free')`))
  t.equal((await app.inject({ method: 'POST', url: '/internal/accounts/4' })).statusCode, 204)
  // Its absence is believed for a second.
  for (let tries = 0; tries < 100; tries++) {
    if ((await app.inject({ url: '/projects', headers: as(4n) })).statusCode === 200) break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  t.match((await app.inject({ url: '/projects', headers: as(4n) })).json(), [])

  const { rows } = await withClient(owner, 'test', (client) => client.query('select * from projects'))
  t.same(rows, [], 'nor does the owner see any without entering')
})

t.test('4. the doctor finds nothing', async (t) => {
  // The newest PostgreSQL on npm is not the newest there is, and the doctor says so.
  const found = await shell(`${command('npx @freehold/cli doctor')} --allow server-version --strict`)
  t.equal(found.code, 0, found.stdout)
})

t.test('the example is typed', async (t) => {
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(repository, 'tsconfig.base.json'),
      compilerOptions: { noEmit: true, composite: false, incremental: false, skipLibCheck: true },
      files: ['app.ts', join(repository, 'packages/postgres/src/pg-internals.d.ts')],
    }),
  )
  const { stdout } = await run(join(repository, 'node_modules/.bin/tsc'), ['-p', folder]).catch(
    (error) => error,
  )
  t.equal(stdout, '')
})
