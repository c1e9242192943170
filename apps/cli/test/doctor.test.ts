import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { doctorReportSchema, problemSchema } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { createDataDatabase } from '../../../test/kit/databases.ts'
import type { Terminal } from '../src/terminal.ts'
import { runHere } from './run-here.ts'

const main = new URL('../src/main.ts', import.meta.url).pathname
const prepared = await startPreparedCluster('cli-doctor')
t.teardown(() => prepared.cluster.remove())
await createDataDatabase(prepared.cluster, prepared.passwords, 'pool')
const { host, port, superuser } = prepared.cluster
const DOCTOR = 'product_doctor'
const url = (database: string, user = DOCTOR) =>
  `postgres://${user}@${host}:${port}/${database}?sslmode=disable`
const environment = { PGPASSWORD: 'of the doctor' }
const asSuperuser = { PGPASSWORD: superuser.password }
const pool = ['doctor', url('pool'), '--allow', 'server-version']

await withClient(prepared.cluster.address('postgres'), 'test', (client) =>
  client.query(`create role ${DOCTOR} login password 'of the doctor' in role freehold_owner, freehold_app`),
)
await withClient(prepared.cluster.address('postgres'), 'test', (client) =>
  client.query(`create database leaky template pool owner freehold_owner`),
)
await withClient(prepared.cluster.address('leaky'), 'test', (client) =>
  client.query(`create policy "open\x1b]0;owned\x07" on orders using (true);
    grant update on sequence orders_number_seq to freehold_app`),
)
const leaky = ['doctor', url('leaky'), '--allow', 'server-version']

const tryOut = (
  args: readonly string[],
  env: Record<string, string> = environment,
  changes: Partial<Terminal> = {},
) => runHere(args, env, changes)

t.test('a database that keeps its tenants apart', async (t) => {
  const ended = await tryOut(pool)
  t.match(ended, { code: 0, stdout: /PostgreSQL 18[\s\S]*5 tenant tables[\s\S]*No findings\.\n$/ })
  t.match(ended.stdout, /Accepted beforehand: server-version\./)
  const json = await tryOut([...pool, '--json', '--strict'])
  t.match(json, { code: 0, stderr: '' })
  t.same(doctorReportSchema.parse(JSON.parse(json.stdout)).findings, [])
  t.match((await tryOut([...pool, '--fix-sql'])).stdout, /^-- There is nothing/)
  const live = await tryOut(pool, environment, { isLive: true })
  t.match(live.stderr, /doctor: trying public\.orders \(\d of 5\)/)
})

t.test('findings: the exit status says so, each names its fix, and the SQL mends them', async (t) => {
  const ended = await tryOut(leaky)
  t.equal(ended.code, 1)
  t.match(ended.stdout, /BLOCKING {2}policy-always-true\n {2}public\.orders: Policy open\?\]0;owned\? /)
  t.match(ended.stdout, /BLOCKING {2}trial-read, trial-copy, .*\n {2}public\.orders: As tenant A/)
  t.match(ended.stdout, /ADVISORY {2}sequence-rights\n[\s\S]*\n {2}Fix: Grant USAGE/)
  t.match(ended.stdout, /\d+ blocking, 2 advisory\. --fix-sql prints/)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a terminal
  t.notMatch(ended.stdout, /[\x00-\x09\x0b-\x1f]/, 'a name from the database does not command the terminal')
  const script = await tryOut([...leaky, '--fix-sql'])
  t.match(script, {
    code: 1,
    stdout: /^begin;\nset local search_path = pg_catalog, pg_temp;\n\n-- policy-always-true: public\.orders/,
  })
  await withClient(prepared.cluster.address('leaky'), 'test', (client) => client.query(script.stdout))
  t.match(await tryOut([...leaky, '--strict']), { code: 0 })
})

t.test('a superuser reads, and tries as somebody else', async (t) => {
  const command = ['doctor', url('pool', superuser.user), '--allow', 'server-version']
  const refused = await tryOut(command, asSuperuser)
  t.match(refused, {
    code: 1,
    stdout: /BLOCKING {2}trial-not-tried\n[\s\S]*is a superuser[\s\S]*--trial-url postgres:/,
  })
  t.match(await tryOut([...command, '--no-trial'], asSuperuser), { code: 0, stdout: /switched off/ })
  process.env.CLI_TEST_TRIAL_PASSWORD = environment.PGPASSWORD
  const as = ['--trial-url', url('pool'), '--trial-password-ref', 'env:CLI_TEST_TRIAL_PASSWORD']
  const tried = await tryOut([...command, ...as, '--json'], asSuperuser)
  t.match(tried, { code: 0, stderr: '' })
  t.match(JSON.parse(tried.stdout), { connectedAs: superuser.user, tried: { as: 'freehold_app' } })
  const elsewhere = await tryOut([...command, '--trial-url', url('leaky'), ...as.slice(2)], asSuperuser)
  t.match(elsewhere, { code: 2, stderr: /Error config_invalid: .*--trial-url: it is not the address/ })
})

t.test('advisory findings count when they are told to', async (t) => {
  const shop = [
    'doctor',
    url('postgres', superuser.user),
    '--app-role',
    'freehold_app',
    '--allow',
    'server-version',
  ]
  await withClient(prepared.cluster.address('postgres'), 'test', (client) =>
    client.query('create publication everything for all tables'),
  )
  t.match(await tryOut(shop, asSuperuser), { code: 0, stdout: /0 blocking, 1 advisory/ })
  t.match(await tryOut([...shop, '--strict'], asSuperuser), { code: 1 })
  t.match(
    await tryOut(
      [...shop, '--strict', '--allow', 'publication-of-all-tables=publication everything'],
      asSuperuser,
    ),
    {
      code: 0,
    },
  )
})

t.test('what cannot be checked: exit status 2, a code, and no secret', async (t) => {
  const secret = 'a-s3cret-passw0rd'
  for (const [args, env, code] of [
    [['doctor', `not a url ${secret}`], {}, 'config_invalid'],
    [['doctor', `mysql://a:${secret}@b/c`], {}, 'config_invalid'],
    [
      ['doctor', `postgres://a:${secret}@127.0.0.1:1/c?sslmode=disable`],
      {},
      'inspected_database_unreachable',
    ],
    [pool, { PGPASSWORD: secret }, 'inspected_database_refused'],
    [[...pool, '--password-ref', 'env:NOT_SET_ANYWHERE'], environment, 'config_invalid'],
    [['doctor', url('postgres', superuser.user)], asSuperuser, 'config_invalid'],
    [[...pool, '--app-role', 'nobody'], environment, 'config_invalid'],
  ] as [string[], Record<string, string>, string][]) {
    const ended = await tryOut(args, env)
    t.match(ended, { code: 2, stdout: '' }, args.join(' '))
    t.match(ended.stderr, `Error ${code}: `)
    t.match(ended.stderr, /\nNext: \S/)
    t.notMatch(ended.stderr, secret)
    const forPrograms = await tryOut([...args, '--json'], env)
    t.match(problemSchema.parse(JSON.parse(forPrograms.stderr)), { code })
    t.notMatch(forPrograms.stderr, secret)
  }
  t.match(await tryOut(['doctor']), { code: 2, stderr: /missing required argument/ })
})

t.test('as a process, where stdout is no terminal: no colours', async (t) => {
  const child = spawn(process.execPath, ['--conditions=@freehold/source', main, ...leaky], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const chunks: string[] = []
  child.stdout.on('data', (chunk) => chunks.push(String(chunk)))
  const [code] = await once(child, 'close')
  t.equal(code, 0)
  t.match(chunks.join(''), /No findings\.\n$/)
  t.notMatch(chunks.join(''), '\x1b')
})
