import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { z } from 'zod'
import { caseNames, operation } from '../src/router/cases.ts'
import { prepareGround } from '../src/router/ground.ts'
import { systems } from '../src/systems/index.ts'
import { systemNames } from '../src/systems/system.ts'

const program = fileURLToPath(new URL('../src/main.ts', import.meta.url))

interface Finished {
  readonly status: number | null
  readonly output: string
  readonly complaints: string
}

async function bench(...args: string[]): Promise<Finished> {
  const child = spawn(process.execPath, ['--conditions=@freehold/source', program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [output, complaints] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { status: await ended, output, complaints }
}

function lastLine(output: string): unknown {
  return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '')
}

const budgetsSchema = z.array(z.object({ name: z.string(), measured: z.number(), met: z.boolean() }))

const routerSchema = z.object({
  rows: z.array(
    z.object({
      case: z.enum(caseNames),
      connections: z.int(),
      delayMs: z.number(),
      system: z.enum(systemNames),
      qps: z.number().positive(),
      p50Ms: z.number().positive(),
      p99Ms: z.number().positive(),
      ratioToPlain: z.number().positive(),
      ratioToSetConfig: z.number().positive(),
      clientCpuUs: z.number().positive(),
      serverCpuUs: z.number().nonnegative().nullable(),
    }),
  ),
  budgets: budgetsSchema,
})

t.test('the router beside everybody else, in every case', async (t) => {
  const { status, output, complaints } = await bench('router', '--quick', '--json', '--delay', '0')
  t.equal(status, 0, `succeeds: ${complaints}`)
  const { rows, budgets } = routerSchema.parse(lastLine(output))
  t.same(
    rows.map((row) => `${row.case} ${row.system}`),
    caseNames.flatMap((name) => systemNames.map((system) => `${name} ${system}`)),
    'a row for every system in every case',
  )
  for (const row of rows) t.ok(row.p50Ms <= row.p99Ms, `${row.case} ${row.system}: quantiles in order`)
  t.ok(
    rows.every((row) => row.system !== 'plain' || row.ratioToPlain === 1),
    'the baseline is the baseline',
  )
  t.equal(budgets.length, 2, 'the budgets without delay')
})

t.test('with a delay, which everything takes', async (t) => {
  const delayMs = 5
  const { status, output, complaints } = await bench(
    ...['router', '--quick', '--json', '--case', 'point-read', '--connections', '2', '--delay', `${delayMs}`],
    ...['--system', 'plain,freehold,set-config'],
  )
  t.equal(status, 0, `succeeds: ${complaints}`)
  const { rows, budgets } = routerSchema.parse(lastLine(output))
  t.equal(rows.length, 3, 'only what was asked for')
  for (const { system, p50Ms } of rows) {
    const roundTrips = system === 'set-config' ? 4 : 1
    t.ok(p50Ms >= roundTrips * 2 * delayMs, `${system} waits for ${roundTrips} round trips`)
  }
  t.same(budgets, [], 'no budget is about this')
})

t.test('wrong answers do not pass for speed', async (t) => {
  const ground = await prepareGround(2, 50)
  t.teardown(() => ground.remove())
  const system = systems.plain.open({ ground, address: ground.address, connections: 1 })
  t.teardown(() => system.close())
  // The rows that are updated are chosen by chance, so two updates may be of one row.
  const updatedRows = new Set<string>()
  const readAndUpdate = (tenantId: string, id: number) => {
    updatedRows.add(`${tenantId} ${id}`)
    return system.readAndUpdate(tenantId, id)
  }
  const honest = { ...system, readAndUpdate }
  const lying = {
    ...system,
    pointRead: async () => undefined,
    page: async (tenantId: string, afterId: number) => (await system.page(tenantId, afterId)).slice(1),
    insert: async () => 0,
    readAndUpdate: (tenantId: string, id: number) => readAndUpdate(tenantId, id % 2 === 0 ? id + 1 : id - 1),
  }
  for (const name of caseNames) {
    await operation(name, honest, ground.rows)()
    await t.rejects(operation(name, lying, ground.rows)(), `${name} is checked`)
  }
  t.same(
    await ground.writes('items_plain'),
    { inserted: 1, updated: updatedRows.size },
    'what was written is counted',
  )
  await ground.reset('items_plain')
  t.same(await ground.writes('items_plain'), { inserted: 0, updated: 0 }, 'and taken out again')
})

t.test('the cache', async (t) => {
  const { status, output, complaints } = await bench('cache', '--quick', '--json')
  t.equal(status, 0, `succeeds: ${complaints}`)
  const { cached, budgets } = z
    .object({ cached: z.int().positive(), budgets: budgetsSchema })
    .parse(lastLine(output))
  t.equal(cached, 20_000, 'all tenants fit')
  t.equal(budgets.length, 2, 'time and memory')
})

t.test('what it does not understand', async (t) => {
  for (const args of [
    [],
    ['rooter'],
    ['router', '--case', 'delete'],
    ['router', '--connections', '0'],
    ['cache', '--rows'],
  ]) {
    const { status, complaints } = await bench(...args)
    t.equal(status, 2, `refused: ${args.join(' ')}`)
    t.match(complaints, /Usage: npm run bench/, 'and told what is right')
  }
})
