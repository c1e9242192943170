import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { tenantPageSchema } from '@freehold/contract'
import t from 'tap'
import { processesOf } from '../../../test/kit/processes.ts'
import { removeData } from '../src/data-directory.ts'
import { findFreePort } from '../src/free-port.ts'
import { within } from './support.ts'

const repository = fileURLToPath(new URL('../../../', import.meta.url))
const directory = await mkdtemp(join(tmpdir(), 'freehold-start-'))
await chmod(directory, 0o755)
t.teardown(async () => {
  for (const { pid } of processesOf(directory)) process.kill(pid, 'SIGKILL')
  for (const cluster of ['us-1', 'eu-1']) await removeData(join(directory, 'clusters', cluster))
  await rm(directory, { recursive: true })
})

/** An `npm start` over the test's directory, as far as the test is concerned with it. */
interface Started {
  readonly process: ChildProcess
  readonly output: () => string
  readonly exited: Promise<number | null>
}

/** Runs what `npm start` runs. @param shell puts a shell in between, as npm may. */
function launch(environment: Record<string, string> = {}, shell = false): Started {
  const command = [process.execPath, '--conditions=@freehold/source', 'infra/local/src/start.ts']
  const [program = '', ...args] = shell ? ['sh', '-c', `${command.join(' ')}; true`] : command
  const child = spawn(program, args, {
    cwd: repository,
    // What is started has the directory in its environment, by which processes that stay behind are found.
    env: { ...process.env, FREEHOLD_DIRECTORY: directory, TMPDIR: directory, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const exited = once(child, 'close').then(([code]: (number | null)[]) => code ?? null)
  return { process: child, output: () => output, exited }
}

/** Launches, and waits until it says that everything runs. */
async function start(environment: Record<string, string> = {}, shell = false): Promise<Started> {
  const started = launch(environment, shell)
  const output = started.process.stdout
  if (output === null) throw new Error('no stdout')
  for await (const line of createInterface({ input: output })) {
    if (line.includes('/orders')) return started
  }
  throw new Error(`it ended: ${started.output()}`)
}

/** What still runs over the directory after the time, in which everything should have ended. */
async function leftovers(milliseconds: number): Promise<string[]> {
  await within(milliseconds, () => processesOf(directory).length === 0)
  return processesOf(directory).map(({ pid, command }) => `${pid} ${command}`)
}

const url = (name: string, output: string) =>
  new RegExp(`${name} +(http://\\S+?)/?\\n`).exec(output)?.[1] ?? ''

t.test('the first start', { skip: process.platform !== 'linux' && 'looks at /proc' }, async (t) => {
  const started = await start()
  const controlApi = url('Console', started.output())
  const productApi = url('Product API', started.output())
  const operator = { authorization: `Bearer ${/^ {2}(eyJ\S+)$/m.exec(started.output())?.[1]}` }
  const user = { authorization: `Bearer ${await readFile(join(directory, 'acme-token'), 'utf8')}` }
  const listTenants = async () => {
    const response = await fetch(`${controlApi}/v1/tenants`, { headers: operator })
    return tenantPageSchema.parse(await response.json()).items
  }

  t.test('serves console, API reference and tenants', async (t) => {
    const page = await fetch(`${controlApi}/`, { headers: { accept: 'text/html' } })
    t.match(await page.text(), /<div id="root">/)
    t.equal((await fetch(`${controlApi}/docs/`)).status, 200)
    const tenants = await listTenants()
    t.strictSame(
      tenants.map(({ slug, residency, placement }) => [slug, residency, placement.cluster]),
      [
        ['acme', null, 'us-1'],
        ['globex', null, 'us-1'],
        ['initech', null, 'us-1'],
        ['umbrella', 'eu', 'eu-1'],
      ],
    )
  })

  t.test('gives a token of the product that shows the rows of its tenant', async (t) => {
    const orders = await (await fetch(`${productApi}/orders`, { headers: user })).json()
    t.match(orders, { items: [{ reference: 'ORDER-2' }, { reference: 'ORDER-1' }] })
  })

  t.test('keeps secrets to their owner, and off every command line', async (t) => {
    const secrets: string[] = []
    for (const file of await readdir(join(directory, 'secrets'))) {
      t.equal((await stat(join(directory, 'secrets', file))).mode & 0o777, 0o600, file)
      secrets.push(await readFile(join(directory, 'secrets', file), 'utf8'))
    }
    t.equal((await stat(join(directory, 'operator-token'))).mode & 0o777, 0o600)
    t.equal((await stat(join(directory, 'stack.log'))).mode & 0o777, 0o600)
    const commands = processesOf(directory).map(({ command }) => command)
    const log = await readFile(join(directory, 'stack.log'), 'utf8')
    t.notOk(secrets.some((secret) => commands.some((command) => command.includes(secret))))
    t.notOk(secrets.some((secret) => log.includes(secret)))
  })

  t.test('keeps a second one from starting, and says which process runs', async (t) => {
    const second = launch()
    t.equal(await second.exited, 1)
    t.match(second.output(), `already running as process ${started.process.pid}`)
    t.match(second.output(), 'stack_already_running')
    t.equal((await fetch(`${controlApi}/readyz`)).status, 200, 'the first is unharmed')
  })

  t.test('brings a process back that was killed', async (t) => {
    const worker = processesOf(directory).find(({ command }) => command.includes('apps/worker'))
    t.ok(worker)
    if (worker !== undefined) process.kill(worker.pid, 'SIGKILL')
    const isBack = () =>
      processesOf(directory).some(
        ({ pid, command }) => command.includes('apps/worker') && pid !== worker?.pid,
      )
    t.ok(await within(10_000, isBack))
    t.match(started.output(), 'The process worker has ended; it is started again.')
  })

  t.test('stops everything on Ctrl-C, which npm passes on a second time', async (t) => {
    started.process.kill('SIGINT')
    started.process.kill('SIGINT')
    t.equal(await started.exited, 0)
    t.match(started.output(), /Stopping \.\.\.\nStopped\.\n$/)
    t.strictSame(processesOf(directory), [])
  })

  t.test('is resumed by the next, also after a SIGKILL', async (t) => {
    const second = await start()
    t.equal(url('Console', second.output()), controlApi, 'on the same ports')
    t.equal((await listTenants()).length, 4, 'with the same tenants, and the token still holds')
    second.process.kill('SIGKILL')
    await second.exited

    const third = await start()
    const orders = await (
      await fetch(`${url('Product API', third.output())}/orders`, { headers: user })
    ).json()
    t.equal(orders.items.length, 2, 'with the same rows')
    third.process.kill('SIGKILL')
    t.strictSame(await leftovers(10_000), [], 'and leaves no orphan')
  })

  t.test('takes a port for one run only, and says that the queue is away', async (t) => {
    const other = await findFreePort()
    const elsewhere = await start({ CONTROL_API_PORT: String(other), REDIS_URL: 'redis://127.0.0.1:1' })
    t.equal(url('Console', elsewhere.output()), `http://127.0.0.1:${other}`)
    t.ok(await within(5_000, () => elsewhere.output().includes('The queue is away')))
    t.match(await readFile(join(directory, 'stack.log'), 'utf8'), 'queue disturbed')
    t.match(JSON.parse(await readFile(join(directory, 'state.json'), 'utf8')), {
      ports: { controlApi: Number(new URL(controlApi).port) },
    })
    elsewhere.process.kill('SIGTERM')
    t.equal(await elsewhere.exited, 0)
  })

  t.test('ends at once at a second signal, whatever hangs', async (t) => {
    const hanging = await start()
    const worker = processesOf(directory).find(({ command }) => command.includes('apps/worker'))
    if (worker === undefined) throw new Error('no worker')
    process.kill(worker.pid, 'SIGSTOP')
    hanging.process.kill('SIGTERM')
    await sleep(700)
    const begun = performance.now()
    hanging.process.kill('SIGTERM')
    t.equal(await hanging.exited, 1)
    t.ok(performance.now() - begun < 2_000)
    process.kill(worker.pid, 'SIGCONT')
    t.strictSame(await leftovers(10_000), [], 'and all that it has started ends with it')
  })

  t.test('ends when npm is killed, be there a shell in between or not', async (t) => {
    const npm = await start({ npm_lifecycle_event: 'start' }, true)
    npm.process.kill('SIGKILL')
    t.strictSame(await leftovers(15_000), [])
    t.match(npm.output(), /Stopped\.\n$/, 'in order')
  })
})

t.test('a wrong configuration is named, and nothing is started', async (t) => {
  const started = launch({ CONTROL_API_PORT: 'many', PRODUCT_API_PORT: '22', REDIS_URL: 'http://nowhere' })
  t.equal(await started.exited, 1)
  t.match(
    started.output(),
    /CONTROL_API_PORT: must be a port number.*PRODUCT_API_PORT: must not be .*REDIS_URL: must be a redis/s,
  )
  t.match(started.output(), 'config_invalid')
})

t.test('a directory that cannot be is named, and nothing hangs', async (t) => {
  for (const impossible of ['/proc/x/y', '/dev/null/x']) {
    const started = launch({ FREEHOLD_DIRECTORY: impossible })
    t.equal(await started.exited, 1)
    t.match(started.output(), `FREEHOLD_DIRECTORY: cannot keep anything in ${impossible} (`)
    t.match(started.output(), 'config_invalid')
  }
})
