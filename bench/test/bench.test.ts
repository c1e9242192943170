import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { z } from 'zod'
import { missingPgcopydb } from '../../scripts/lib/prerequisites.ts'
import { histogram } from '../src/pause/histogram.ts'
import { type Cutover, summarize as summarizePauses } from '../src/pause/summary.ts'
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
  // Which rows are asked for is chance: one of them twice counts twice, one that does not exist not at all.
  let updated = 0
  const readAndUpdate = async (tenantId: string, id: number) => {
    const row = await system.readAndUpdate(tenantId, id)
    if (row) updated += 1
    return row
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
  t.same(await ground.writes('items_plain'), { inserted: 1, updated }, 'what was written is counted')
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

const copiesSchema = z.array(
  z.object({ seconds: z.number().positive(), copySeconds: z.number().positive(), rows: z.int() }),
)

t.test('a move beside psql', async (t) => {
  const rows = 500
  const { status, output, complaints } = await bench('move', '--quick', '--json', '--rows', `${rows}`)
  t.equal(status, 0, `succeeds: ${complaints}`)
  const summary = z
    .object({
      copyRatio: z.number().positive(),
      copyRatio2: z.number().positive(),
      copyRatioPool: z.number().positive(),
      verifyRatio: z.number().positive(),
      moveSeconds: z.number().positive(),
      switchedSeconds: z.number().positive(),
      rowsPerSecond: z.number().positive(),
      writesPerSecond: z.number().positive(),
      psql: copiesSchema,
      one: copiesSchema,
      two: copiesSchema,
      psqlPool: z.array(z.object({ seconds: z.number().positive(), rows: z.int() })),
      pool: copiesSchema,
      budgets: budgetsSchema,
    })
    .parse(lastLine(output))
  for (const name of ['psql', 'one', 'two', 'psqlPool', 'pool'] as const) {
    t.same(
      summary[name].map((copy) => copy.rows),
      [rows],
      `${name}: all rows were copied`,
    )
  }
  t.ok(summary.switchedSeconds < summary.moveSeconds, 'the source is purged after the switch')
  t.equal(summary.budgets.length, 5, 'three copies, the verification and the whole move')
})

t.test('a whole database beside pgcopydb, where there is one', async (t) => {
  const missing = await missingPgcopydb()
  const { status, output, complaints } = await bench('database', '--quick', '--json', '--rows', '500')
  t.equal(status, 0, `succeeds: ${complaints}`)
  const { engine, pgcopydb, databaseRatio, budgets } = z
    .object({
      databaseRatio: z.number().positive().nullable(),
      engine: z.array(z.object({ seconds: z.number().positive(), rows: z.int() })),
      pgcopydb: z.array(z.number().positive()),
      budgets: budgetsSchema,
    })
    .parse(lastLine(output))
  t.same(
    engine.map(({ rows }) => rows),
    [500],
  )
  const compared = missing === undefined ? 1 : 0
  t.equal(pgcopydb.length, compared)
  t.equal(budgets.length, compared)
  t.equal(databaseRatio === null, compared === 0)
  t.equal(complaints.includes('The engine is measured alone.'), compared === 0, 'it says so')
})

t.test('writes of tenants whose mark was changed', async (t) => {
  const { status, output, complaints } = await bench('marks', '--quick', '--json')
  t.equal(status, 0, `succeeds: ${complaints}`)
  const { rows } = z
    .object({
      rows: z.array(
        z.object({
          isolation: z.string(),
          mark: z.string(),
          microseconds: z.number().positive(),
          ratioToNew: z.number().positive(),
        }),
      ),
    })
    .parse(lastLine(output))
  const measured = (isolation: string) => ['new', 'changed', 'locked'].map((mark) => `${isolation}, ${mark}`)
  t.same(
    rows.map(({ isolation, mark }) => `${isolation}, ${mark}`),
    [...measured('read committed'), ...measured('repeatable read')],
  )
})

const distributionSchema = z
  .object({ p50: z.number().positive(), p99: z.number().positive(), max: z.number().positive() })
  .refine(({ p50, p99, max }) => p50 <= p99 && p99 <= max, 'quantiles in order')

t.test('the pause of a cutover', async (t) => {
  const { status, output, complaints } = await bench('pause', '--quick', '--json')
  t.equal(status, 0, `succeeds: ${complaints}`)
  const summary = z
    .object({
      moves: z.int(),
      pauses: z.array(z.number().positive()),
      pauseMs: distributionSchema,
      readPauseMs: distributionSchema,
      engineMs: distributionSchema,
      stepsMs: z.record(z.string(), z.number().nonnegative()),
      failed: z.int(),
      lost: z.int(),
      samples: z.array(z.string()),
      neighbours: z.object({ ratio: z.number().positive() }),
      writesPerSecond: z.number().positive(),
      budgets: budgetsSchema,
    })
    .parse(lastLine(output))
  t.equal(summary.moves, 2, 'every move was measured')
  t.equal(summary.pauses.length, summary.moves, 'each has its pause')
  t.equal(summary.failed, 0, `no request failed: ${summary.samples}`)
  t.equal(summary.lost, 0, `no write is lost: ${summary.samples}`)
  t.equal(summary.budgets.length, 7, 'pauses, failures, losses, neighbours and the load itself')
})

t.test('what clients saw of a move', async (t) => {
  const cutover = (writePauseMs: number, changes: Partial<Cutover> = {}): Cutover => ({
    writePauseMs,
    readPauseMs: 2,
    quietWritePauseMs: 3,
    quietReadPauseMs: 2,
    engineMs: 8,
    stepsMs: { fence: 1 },
    attempts: 1,
    writesPerSecond: 550,
    failures: [],
    differences: [],
    ...changes,
  })
  const neighbours = {
    before: [1, 1, 2],
    during: [1, 1, 2],
    byPhase: { verify: [1, 2] },
    besideBurner: [1, 3],
    failures: [],
    differences: [],
  }
  const missed = (cutovers: readonly Cutover[]) =>
    summarizePauses({ cutovers, neighbours })
      .budgets.filter((budget) => !budget.met)
      .map(({ name }) => name)

  t.same(missed([cutover(9), cutover(14)]), [], 'within every budget')
  t.same(
    missed([cutover(9), cutover(10), cutover(120)]),
    ['write pause, p99, in ms', 'write pause, longest, in ms'],
    'one long pause counts',
  )
  t.same(missed([cutover(9, { failures: ['500'] })]), ['failed requests'], 'so does one failure')
  t.same(missed([cutover(9, { differences: ['gone'] })]), ['lost writes'], 'and one lost write')
  t.same(
    missed([cutover(9), cutover(9, { writesPerSecond: 400 })]),
    ['writes a second to the moving tenant'],
    'a load that was too small does not pass for a short pause',
  )
  t.match(histogram([1, 12, 13]), /0 to 5 ms +#{20} +1\n.*5 to 10 ms +0\n.*10 to 15 ms +#{40} 2$/, 'drawn')
})

t.test('what it does not understand', async (t) => {
  for (const args of [
    [],
    ['rooter'],
    ['router', '--case', 'delete'],
    ['router', '--connections', '0'],
    ['cache', '--rows'],
    ['move', '--rounds', '0'],
    ['database', '--rows', '1'],
    ['pause', '--moves', 'many'],
    ['marks', '--rounds', '0'],
  ]) {
    const { status, complaints } = await bench(...args)
    t.equal(status, 2, `refused: ${args.join(' ')}`)
    t.match(complaints, /Usage: npm run bench/, 'and told what is right')
  }
})
