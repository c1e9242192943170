import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import {
  moveDetailSchema,
  movePageSchema,
  movePlanSchema,
  moveSchema,
  problemSchema,
  tenantDetailSchema,
  tenantPageSchema,
  tenantSchema,
  topologySchema,
} from '@freehold/contract'
import t, { type Test } from 'tap'
import { buildTestControlApi, signJwt } from '../../../test/kit/control-api.ts'
import { prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { runProgram } from '../src/program.ts'
import type { Terminal } from '../src/terminal.ts'
import { type Ended, runHere } from './run-here.ts'

const main = new URL('../src/main.ts', import.meta.url).pathname
const ground = await prepareMovingGround()
const api = await buildTestControlApi(ground)
const url = await api.app.listen({ host: '127.0.0.1', port: 0 })
const folder = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
const tokenFile = join(folder, 'token')
await writeFile(tokenFile, `${api.token()}\n`)
t.teardown(async () => {
  await api.close()
  await ground.remove()
  await rm(folder, { recursive: true })
})

const environment = { FREEHOLD_URL: url, FREEHOLD_TOKEN: api.token() }

/** The real command, as a process. */
async function freehold(args: string[], env: Record<string, string> = environment): Promise<Ended> {
  const child = start(args, env)
  const [stdout, stderr] = [textOf(child.stdout), textOf(child.stderr)]
  const [code] = await once(child, 'exit')
  return { code, stdout: await stdout, stderr: await stderr }
}

const tryOut = (args: readonly string[], env: Record<string, string> = environment) => runHere(args, env)

const start = (args: string[], env: Record<string, string> = environment) =>
  spawn(process.execPath, ['--conditions=@freehold/source', main, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: string[] = []
  for await (const chunk of stream) chunks.push(String(chunk))
  return chunks.join('')
}

/** The result of a command with --json: all that stdout holds is one document. */
async function json(args: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await freehold([...args, '--json'])
  if (code !== 0 || stderr !== '') throw new Error(`${code}: ${stderr}`)
  return JSON.parse(stdout)
}

t.test('results are JSON for programs and text for people', async (t) => {
  const create = ['tenants', 'create', 'acme', '--region', 'us', '--residency', 'us', '--name', 'Acme & Co']
  const tenant = tenantSchema.parse(await json(create))
  t.match(tenant, { slug: 'acme', name: 'Acme & Co', residency: 'us', tier: 'free' })
  t.match(tenantPageSchema.parse(await json(['tenants', 'list', '--search', 'ACM'])).items, [tenant])
  t.match(tenantDetailSchema.parse(await json(['tenants', 'get', 'acme'])), tenant)
  t.same(movePageSchema.parse(await json(['moves', 'list', '--tenant', 'acme', '--active'])).items, [])
  t.match(topologySchema.parse(await json(['topology'])).clusters, [{ id: 'eu-1' }, { id: 'us-1' }])

  t.match(await freehold(['tenants', 'create', 'globex', '--region', 'us']), {
    code: 0,
    stdout: /Created\.\nTenant +globex\n/,
    stderr: '',
  })
  const list = await freehold(['tenants', 'list', '--limit', '1'])
  t.match(list.stdout, /^SLUG +NAME .*\nacme +Acme & Co +free +active +us +us-1\/pool \(pool, us\) +-\n/)
  t.match(list.stdout, /There are more: --cursor acme/)
  t.match((await tryOut(['tenants', 'list', '--cursor', 'acme'])).stdout, /\nglobex /)
  t.match(
    (await tryOut(['tenants', 'get', 'acme'])).stdout,
    /Pinned to +us\n[\s\S]*\nEPOCH +PLACEMENT[\s\S]*\n1 .* now\n/,
  )
  t.match((await tryOut(['topology'])).stdout, /^eu-1 +eu +eu +pool +0 +not limited +0 of 4$/m)
})

t.test('a refusal has a code, says what happened and what to do next, and changes nothing', async (t) => {
  for (const [args, code, message] of [
    [['tenants', 'get', 'nobody'], 'tenant_not_found', /There is no such tenant.*nobody/],
    [['tenants', 'create', 'acme', '--region', 'us'], 'tenant_slug_taken', /The slug acme is taken/],
    [['tenants', 'create', 'Not A Slug', '--region', 'us'], 'invalid_request', /body\/slug: must be/],
    [
      ['tenants', 'promote', 'acme', '--region', 'eu', '--yes'],
      'residency_violation',
      /pinned to us; .* lies in eu/,
    ],
    [['tenants', 'promote', 'globex', '--cluster', 'mars-1', '--yes'], 'target_not_found', /mars-1/],
    [
      ['tenants', 'promote', 'globex', '--isolation', 'schema', '--cluster', 'us-1', '--database', 'lake'],
      'pool_not_found',
      /There is no pool lake on us-1\. There: pool\./,
    ],
    [
      ['tenants', 'promote', 'globex', '--isolation', 'silo', '--cluster', 'us-1', '--database', 'pool'],
      'invalid_request',
      /only for a pool or a schema/,
    ],
    [['moves', 'get', '00000000-0000-4000-8000-000000000000'], 'move_not_found', /There is no/],
    [['moves', 'watch', '00000000-0000-4000-8000-000000000000'], 'move_not_found', /There is no/],
  ] as const) {
    const ended = await tryOut(args)
    t.match(ended, { code: 1, stdout: '' }, args.join(' '))
    t.match(ended.stderr, new RegExp(`^Error ${code}: `))
    t.match(ended.stderr, message)
    t.match(ended.stderr, /\nNext: \S/)
    const forPrograms = await tryOut([...args, '--json'])
    t.match(forPrograms, { code: 1, stdout: '' })
    t.match(problemSchema.parse(JSON.parse(forPrograms.stderr)), { code })
  }
  t.equal(movePageSchema.parse(await json(['moves', 'list'])).items.length, 0)
})

t.test('a token is taken from option, file or environment, and a bad one is refused clearly', async (t) => {
  const list = ['tenants', 'list']
  const here = { FREEHOLD_URL: url }
  const expired = signJwt({ alg: 'HS256' }, { sub: 'ada', role: 'operator', exp: 1 })
  for (const [args, env, code, problem] of [
    [[...list, '--token', api.token()], { ...here, FREEHOLD_TOKEN: 'wrong' }, 0, undefined],
    [[...list, '--token-file', tokenFile], { ...here, FREEHOLD_TOKEN: 'wrong' }, 0, undefined],
    [list, { ...here, FREEHOLD_TOKEN_FILE: tokenFile }, 0, undefined],
    [
      [...list, '--url', `${url}/`],
      { FREEHOLD_TOKEN: api.token(), FREEHOLD_URL: 'http://127.0.0.1:1' },
      0,
      undefined,
    ],
    [list, here, 1, 'unauthenticated'],
    [list, { ...here, FREEHOLD_TOKEN: 'nonsense' }, 1, 'token_malformed'],
    [list, { ...here, FREEHOLD_TOKEN: expired }, 1, 'token_expired'],
    [[...list, '--token-file', '/nowhere'], here, 1, 'config_invalid'],
    [list, { ...environment, FREEHOLD_URL: 'ftp://here' }, 1, 'config_invalid'],
    [list, { ...environment, FREEHOLD_URL: 'http://127.0.0.1:1' }, 1, 'api_unreachable'],
  ] as [string[], Record<string, string>, number, string | undefined][]) {
    const ended = await tryOut(args, env)
    t.equal(ended.code, code, ended.stderr)
    if (problem !== undefined) t.match(ended.stderr, `Error ${problem}: `)
  }
  const viewer = { ...environment, FREEHOLD_TOKEN: api.token('viewer') }
  t.equal((await tryOut(list, viewer)).code, 0)
  const refused = await tryOut(['tenants', 'create', 'x', '--region', 'us'], viewer)
  t.match(refused, { code: 1, stderr: /Error forbidden: / })
})

t.test('a command line that is not understood is a usage error, and sends nothing', async (t) => {
  const before = api.log.length
  for (const args of [
    ['tenants', 'evict', 'acme'],
    ['tenants', 'create', 'x'],
    ['tenants', 'promote', 'acme'],
    ['tenants', 'promote', 'acme', '--region', 'eu', '--cluster', 'eu-1'],
    ['tenants', 'promote', 'acme', '--region', 'eu', '--isolation', 'pool'],
    ['tenants', 'move', 'acme', '--region', 'eu'],
    ['tenants', 'list', '--limit', 'many'],
    ['moves', 'get', '17'],
    ['topology', '--colour'],
    [],
  ]) {
    const ended = await tryOut(args)
    t.match(ended, { code: 2, stdout: '' }, args.join(' '))
    t.match(ended.stderr, /error: |Usage: /)
  }
  t.equal(api.log.length, before)
  const help = await tryOut(['tenants', 'promote', '--help'])
  t.match(help, { code: 0, stdout: /--dry-run[\s\S]*--token-file/, stderr: '' })
})

t.test('what the documents say of the command line is so', async (t) => {
  const read = (path: string) => readFile(new URL(`../../../${path}`, import.meta.url), 'utf8')
  const page = await read('docs/cli.md')
  const described = [...page.matchAll(/^\| (`[^|]+) \| (.*) \|$/gm)]
  t.ok(described.length > 15, `${described.length} rows`)
  for (const [row, commands = ''] of described) {
    for (const [, command = ''] of commands.matchAll(/`([^`]+)`/g)) {
      const words = /^[a-z]+(?: [a-z]+)*/.exec(command)?.[0].split(' ') ?? []
      const help = await tryOut([...words, '--help'])
      t.match(help, { code: 0, stdout: `Usage: freehold ${words.join(' ')}` }, command)
      for (const [option] of row.matchAll(/--[a-z-]+/g)) t.match(help.stdout, `${option} `, command)
    }
  }
  const examples = `${page}${await read('README.md')}`.matchAll(/^freehold (tenants .*)$/gm)
  for (const [example, args = ''] of examples) {
    const ended = await tryOut([...args.split(' '), '--dry-run'])
    t.match(ended, { code: 1, stdout: /BLOCKING {2}residency_violation/ }, example)
  }
})

t.test('a tenant is moved to the isolation that is named, or that its tier has', async (t) => {
  const inTier = (tier: string) => ['tenants', 'create', `of-${tier}`, '--region', 'us', '--tier', tier]
  for (const tier of ['free', 'pro', 'enterprise']) await json(inTier(tier))
  const planned = async (...args: string[]) =>
    movePlanSchema.parse(JSON.parse((await tryOut(['tenants', ...args, '--dry-run', '--json'])).stdout)).to
  const to = ['--region', 'eu']
  for (const [args, isolation] of [
    [['promote', 'of-free', ...to], 'silo'],
    [['promote', 'of-pro', ...to], 'schema'],
    [['promote', 'of-enterprise', ...to], 'silo'],
    [['promote', 'of-free', ...to, '--isolation', 'schema'], 'schema'],
    [['promote', 'of-pro', ...to, '--isolation', 'silo'], 'silo'],
    [['demote', 'of-pro', ...to], 'pool'],
    [['move', 'of-pro', ...to, '--isolation', 'pool'], 'pool'],
  ] as const) {
    t.equal((await planned(...args)).isolation, isolation, args.join(' '))
  }
  const named = await planned('promote', 'of-pro', '--cluster', 'us-1', '--database', 'pool')
  t.match(named, { isolation: 'schema', cluster: 'us-1', database: 'pool', schema: /^t_of_pro_/ })

  const { stdout } = await tryOut(['tenants', 'promote', 'of-pro', ...to, '--dry-run'])
  t.match(stdout, /\nThat is a promotion from pool to schema\.\n/)
  for (const figure of ['Rows +about', 'Duration +about', 'Extra disk +about', 'Connections +up to']) {
    t.match(stdout, new RegExp(`^${figure} `, 'm'))
  }
  t.notMatch(stdout, /^Rollback window /m)
  const reversible = ['tenants', 'promote', 'of-pro', ...to, '--rollback-window', '7d', '--dry-run']
  t.match((await tryOut(reversible)).stdout, /^Rollback window +up to .*B more at the target/m)
})

t.test('a promotion is planned, started, followed and done', async (t) => {
  await ground.tenant('initech', 200)
  const promote = ['tenants', 'promote', 'initech', '--region', 'eu']
  const plan = movePlanSchema.parse(await json([...promote, '--dry-run']))
  t.match(plan, { from: { cluster: 'us-1' }, to: { cluster: 'eu-1', isolation: 'silo' } })
  t.match(
    (await tryOut([...promote, '--dry-run'])).stdout,
    /^initech is to move from us-1\/pool \(pool, us\) to eu-1\//,
  )
  t.match(
    (await tryOut([...promote, '--dry-run'])).stdout,
    /\nDuration +about .*\n[\s\S]*ADVISORY {2}row_trigger: /,
  )
  const pinned = ['tenants', 'promote', 'acme', '--region', 'eu', '--dry-run']
  t.match(await tryOut(pinned), {
    code: 1,
    stdout: /BLOCKING {2}residency_violation: .*\n.*pinned to us/,
    stderr: '',
  })
  const blocked = await tryOut([...pinned, '--json'])
  t.equal(blocked.code, 1)
  t.match(movePlanSchema.parse(JSON.parse(blocked.stdout)).findings[0], { code: 'residency_violation' })
  t.equal(movePageSchema.parse(await json(['moves', 'list'])).items.length, 0, 'a dry run changes nothing')

  const move = moveSchema.parse(await json(promote))
  t.match(await tryOut([...promote, '--yes']), { code: 1, stderr: /Error tenant_moving: / })
  t.match(await tryOut(promote), {
    code: 1,
    stdout:
      /BLOCKING {2}tenant_moving: [\s\S]*Remedy: [\s\S]*ADVISORY {2}row_trigger: [\s\S]*Remedy: [\s\S]*Nothing was started/,
  })
  const watching = freehold(['moves', 'watch', move.id])
  const watchingAsProgram = freehold(['moves', 'watch', move.id, '--json'])
  startEngine(t)

  const watched = await watching
  t.equal(watched.code, 0, watched.stderr)
  t.match(watched.stdout, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}planned +Planned/)
  t.match(watched.stdout, /\n\d.* completed /)
  t.match(
    watched.stdout,
    /\ninitech lives at eu-1\/silo_initech\w* \(silo, eu\)\. Moved .* rows .* in .*\.\n$/,
  )
  const events = (await watchingAsProgram).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.same(new Set(events.map(({ event }) => event)), new Set(['move', 'timeline']))
  t.match(moveSchema.parse(events.findLast(({ event }) => event === 'move').data), { phase: 'completed' })

  const detail = moveDetailSchema.parse(await json(['moves', 'get', move.id]))
  t.equal(detail.phase, 'completed')
  t.match(
    (await tryOut(['moves', 'get', move.id])).stdout,
    /Phase +completed\nKind +promotion from pool to silo\n[\s\S]*Verified +[\d-]+ [\d:]+: [\d,]+ rows; 0 of \d+ tables differed; [\d,]+ rows have changed since\n/,
  )
  t.match((await tryOut(['tenants', 'get', 'initech'])).stdout, /Lives at +eu-1\/silo_initech/)
  t.match(await tryOut(['moves', 'cancel', move.id]), { code: 1, stderr: /Error move_not_cancellable: / })
})

t.test('a promotion with a window is watched until it rests, and is rolled back', async (t) => {
  await ground.tenant('umbrella', 20)
  const promote = ['tenants', 'promote', 'umbrella', '--region', 'eu', '--rollback-window', '2h']
  t.match((await tryOut([...promote, '--dry-run'])).stdout, /can be rolled back for 2 h\./)
  t.match(await tryOut([...promote.slice(0, -1), 'soon']), { code: 2, stderr: /number of seconds/ })
  startEngine(t)
  const rests = await tryOut([...promote, '--watch', '--yes'])
  t.equal(rests.code, 0, rests.stderr)
  t.match(rests.stdout, /\numbrella lives at eu-1\/silo_umbrella[\s\S]* It can be rolled back until \d{4}-/)
  const [move] = await untilListed('umbrella')
  const id = String(move?.id)
  t.match((await tryOut(['moves', 'get', id])).stdout, /Phase +soak\n[\s\S]*Rollback +open, closes \d{4}-/)
  t.match(await tryOut(['moves', 'rollback', id, '--dry-run']), {
    code: 0,
    stdout: /^umbrella is to go back from eu-1\/silo_umbrella/,
  })
  t.match(await tryOut(['moves', 'finalize', id, '--dry-run']), {
    code: 0,
    stdout: /^umbrella stays at eu-1/,
  })
  t.match(
    await json(['moves', 'get', id]),
    { phase: 'soak', rollback: { state: 'open' } },
    'nothing was changed',
  )
  t.match((await tryOut(['moves', 'rollback', id, '--yes'])).stdout, /Asked for the move to be rolled back/)
  const watched = await tryOut(['moves', 'watch', id])
  t.equal(watched.code, 3)
  t.match(watched.stdout, /\nThe move was rolled back; umbrella lives at us-1\/pool \(pool, us\) again/)
  t.match(await tryOut(['moves', 'rollback', id, '--yes']), {
    code: 1,
    stderr: /Error rollback_not_possible: /,
  })
})

t.test('a move that is given up is told by the exit status', async (t) => {
  await ground.tenant('hooli', 10)
  const watching = freehold(['tenants', 'promote', 'hooli', '--region', 'eu', '--watch', '--yes'])
  const [move] = await untilListed('hooli')
  t.match((await tryOut(['moves', 'cancel', String(move?.id)])).stdout, /Asked for the move to be given up/)
  startEngine(t)
  const ended = await watching
  t.equal(ended.code, 3)
  t.match(ended.stdout, /The move was given up; hooli stayed at us-1\/pool \(pool, us\)\.\n$/)
  t.match(ended.stderr, /^Error move_cancelled: [\s\S]*\nNext: /)
})

t.test('a move is paused, resumed and approved by hand', async (t) => {
  const tenant = await ground.tenant('aviato', 10)
  const window = ['--window', '02:00-04:00,Europe/Berlin', '--not-before', '2026-01-01T00:00Z']
  const start = ['tenants', 'promote', 'aviato', '--region', 'eu', '--approve', ...window]
  const move = moveSchema.parse(await json([...start, '--max-rows-per-second', '500', '--repair']))
  t.match(move, {
    repair: true,
    tenant: { id: tenant.id },
    cutover: {
      approve: true,
      notBefore: '2026-01-01T00:00:00.000Z',
      window: { from: '02:00', to: '04:00', tz: 'Europe/Berlin' },
    },
    maxRowsPerSecond: 500,
  })
  t.match((await tryOut(['moves', 'pause', move.id])).stdout, /^The move is paused\./)
  t.match(
    (await tryOut(['moves', 'get', move.id])).stdout,
    /^Waiting +Paused by \S+, until it is resumed\.\n[\s\S]*^Repair +rows that differ are rewritten; 0 were$/m,
  )
  t.match((await tryOut(['moves', 'list', '--tenant', 'aviato'])).stdout, / resume\n/)
  t.match(moveSchema.parse(await json(['moves', 'resume', move.id])), { waiting: null })
  t.match((await tryOut(['moves', 'approve', move.id])).stdout, /^The switch is approved\./)
  await ground.catalog.operations.requestCancel(move.id)
  for (const wrong of [
    '--window=2-3',
    '--window=02:00-03:00,Mars',
    '--not-before=soon',
    '--max-rows-per-second=0',
  ])
    t.match(await tryOut([...start, wrong]), { code: 2, stdout: '' }, wrong)
})

t.test('a cluster is drained and takes tenants again', async (t) => {
  const dry = await tryOut(['clusters', 'drain', 'eu-1', '--to-region', 'us', '--dry-run'])
  t.match(dry.stdout, /tenants are to leave eu-1 for region us/)
  t.match(await tryOut(['clusters', 'drain', 'eu-1', '--to-cluster', 'us-1', '--yes']), {
    code: 0,
    stdout: /^Cluster eu-1 is being emptied of \d+ tenants?\./,
  })
  t.match((await tryOut(['clusters', 'evacuation', 'eu-1'])).stdout, /^Tenants +\d+ moved, /m)
  t.match((await tryOut(['topology'])).stdout, /^eu-1 .* draining$/m)
  t.match((await tryOut(['clusters', 'evacuation', 'eu-1'])).stdout, /^TENANT +STATE +ATTEMPTS +NEXT +MOVE /m)
  t.match((await tryOut(['clusters', 'limit', 'eu-1', '9'])).stdout, /^At most 9 moves/)
  t.match((await tryOut(['clusters', 'undrain', 'eu-1'])).stdout, /takes tenants and moves again/)
  t.match((await tryOut(['topology'])).stdout, /^eu-1 .* of 9$/m)
  t.match(await tryOut(['clusters', 'drain', 'mars-1', '--yes']), { code: 1, stderr: /cluster_not_found/ })
  t.match(await tryOut(['clusters', 'drain', 'eu-1', '--max-concurrent', '0']), { code: 2, stdout: '' })
})

t.test('reference tables of homes of their own are compared and brought in step', async (t) => {
  const compared = await tryOut(['references', 'sync', '--dry-run'])
  t.match(compared, { code: 0, stdout: /homes? compared/ })
  t.match(JSON.parse((await tryOut(['--json', 'references', 'sync'])).stdout), [{ tables: 1 }])
})

t.test('Ctrl-C ends the watching and not the move', async (t) => {
  const tenant = await ground.tenant('piedpiper', 10)
  const move = await ground.startMove(tenant)
  const child = start(['moves', 'watch', move.id])
  const stderr = textOf(child.stderr)
  await once(child.stdout, 'data')
  child.kill('SIGINT')
  const [code] = await once(child, 'exit')
  t.equal(code, 130)
  t.match(await stderr, `freehold moves watch ${move.id}`)
  t.match(await json(['moves', 'get', move.id]), { phase: 'planned', cancelRequested: false })
})

t.test('a reader that has read enough is no error', async (t) => {
  const child = start(['tenants', 'list', '--json'])
  child.stdout.destroy()
  const stderr = textOf(child.stderr)
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
  t.equal(await stderr, '')
})

t.test('on a terminal the plan is confirmed, and the move drawn in place', async (t) => {
  await ground.tenant('vandelay', 300)
  const promote = ['tenants', 'promote', 'vandelay', '--region', 'eu', '--watch']
  const refusing = screen({ answer: false })
  t.equal(await runProgram(promote, refusing.terminal, environment), 0)
  t.match(refusing.asked, ['Move vandelay now?'])
  t.equal(movePageSchema.parse(await json(['moves', 'list', '--tenant', 'vandelay'])).items.length, 0)

  const agreeing = screen({ answer: true })
  const running = runProgram(promote, agreeing.terminal, environment)
  const [move] = await untilListed('vandelay')
  startEngine(t)
  t.equal(await running, 0)
  const lines = agreeing.visible()
  t.match(lines.at(-1), /^vandelay lives at eu-1\/silo_vandelay/)
  t.match(lines.at(-2), /^█{30} {2}100 % {2}.* rows /, 'the last bar stays')
  t.match(lines.at(-3), /^✓{9} {2}completed$/)
  t.equal(lines.filter((line) => /[█░]/.test(line)).length, 1, 'the bar is drawn in one place')
  t.ok(
    lines.some((line) => /^\d{4}-.* completed /.test(line)),
    'above it stands the timeline',
  )

  const narrow = screen({ answer: true, columns: 40 })
  t.equal(await runProgram(['moves', 'watch', String(move?.id)], narrow.terminal, environment), 0)
  t.ok(narrow.drawn.every((line) => stripVTControlCharacters(line).length < 200))
})

/** Whatever is due is worked on until the test ends. */
function startEngine(t: Test): void {
  const engine = ground.engine()
  engine.start()
  t.teardown(() => engine.stop())
}

async function untilListed(tenant: string) {
  for (;;) {
    const { stdout } = await tryOut(['moves', 'list', '--tenant', tenant, '--json'])
    const { items } = movePageSchema.parse(JSON.parse(stdout))
    if (items.length > 0) return items
  }
}

/** A terminal that keeps what is written to it, and knows what a person would see. */
function screen({ answer, columns = 120 }: { answer: boolean; columns?: number }) {
  const asked: string[] = []
  const drawn: string[] = []
  let text = ''
  const terminal: Terminal = {
    print(line) {
      text += `${line}\n`
    },
    remark(line) {
      text += `${line}\n`
    },
    isLive: true,
    columns,
    draw(part) {
      drawn.push(part)
      text += part
    },
    style: (_format, part) => part,
    async confirm(question) {
      asked.push(question)
      return answer
    },
  }
  function visible(): string[] {
    const lines: string[] = []
    for (const line of text.replaceAll('\x1b[1A\x1b[2K', '\x00').split('\n')) {
      const ups = line.lastIndexOf('\x00') + 1
      lines.splice(lines.length - ups, ups)
      lines.push(line.slice(ups))
    }
    return lines.filter((line) => line !== '')
  }
  return { terminal, asked, drawn, visible }
}

t.end()
