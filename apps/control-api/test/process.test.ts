import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProcess } from '@freehold/local'
import { chromium } from 'playwright-core'
import t from 'tap'
import { buildTestControlApi } from '../../../test/kit/control-api.ts'
import { readEventStream } from '../../../test/kit/event-stream.ts'
import { prepareMovingGround } from '../../../test/kit/moving-ground.ts'

const main = new URL('../src/main.ts', import.meta.url)
const ground = await prepareMovingGround()
const api = await buildTestControlApi(ground)
const headers = { authorization: `Bearer ${api.token()}` }
t.teardown(async () => {
  await api.close()
  await ground.remove()
})

t.test('the process says when it listens, and stops cleanly though somebody follows a move', async (t) => {
  const lines: string[] = []
  const process = await startProcess({
    name: 'control-api',
    entry: main,
    env: { ...api.environment, PORT: '0' },
    ready: /listening at (http:\/\/127\.0\.0\.1:\d+)/,
    log: (line) => lines.push(line),
  })
  const base = process.readyMatch[1] ?? ''
  t.same(await (await fetch(`${base}/readyz`)).json(), { status: 'ok' })
  const move = await ground.startMove(await ground.tenant('acme', 10))
  const stream = await fetch(`${base}/v1/moves/${move.id}/events`, { headers })
  if (stream.body === null) throw new Error('no stream')
  const events = readEventStream(stream.body)
  t.match((await events.next()).value, { event: 'timeline' })

  // A request that has begun when the process is stopped is answered; it is told to come again.
  const late = connect(Number(new URL(base).port), '127.0.0.1')
  late.write('GET /v1/me HTTP/1.1\r\nHost: here\r\nConnection: close\r\n')
  const answer = text(late)
  await sleep(100)
  setTimeout(() => late.write('\r\n'), 200)

  const begun = performance.now()
  t.same(await process.stop(), { code: 0, signal: null })
  t.ok(performance.now() - begun < 5_000)
  const rest = []
  for await (const event of events) rest.push(event)
  t.match(rest, [{ event: 'move' }], 'the stream has ended, the move has not')
  t.match(await answer, /^HTTP\/1.1 503 [\s\S]*"code":"service_stopping"/)
  t.match(lines.at(-1), /control-api stopped/)
  for (const line of lines)
    t.doesNotThrow(() => JSON.parse(line.replace('[control-api] ', '')), 'a JSON object')
  t.notMatch(
    lines.join(''),
    new RegExp(Object.values(ground.us.passwords).join('|')),
    'no log holds a password',
  )
})

t.test('a wrong configuration ends the process with the name of the variable', async (t) => {
  const taken = new URL(await api.app.listen({ host: '127.0.0.1', port: 0 })).port
  for (const [environment, said] of [
    [
      { FREEHOLD_OPERATOR_SECRET: 'short-secret' },
      /^config_invalid: .*FREEHOLD_OPERATOR_SECRET: must have at least 32/,
    ],
    [{ PORT: taken, LOG_LEVEL: 'silent' }, /^config_invalid: .*PORT: cannot listen on .* \(EADDRINUSE\)/],
  ] as const) {
    const child = spawn(process.execPath, ['--conditions=@freehold/source', main.pathname], {
      env: { ...api.environment, ...environment },
    })
    const stderr = text(child.stderr)
    t.same(await once(child, 'exit'), [1, null])
    t.match(await stderr, said)
    t.notMatch(await stderr, 'short-secret')
  }
})

t.test('the reader of the API runs under the policy and loads nothing from elsewhere', async (t) => {
  const base = `http://127.0.0.1:${portOf(api.app.server.address())}`
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
    ],
  })
  t.teardown(() => browser.close())
  const page = await browser.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(base) && !request.url().startsWith('data:')) complaints.push(request.url())
  })
  await page.goto(`${base}/docs`)
  await page.getByText('Start a move; what').waitFor()
  t.same(complaints, [])
})

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('it does not listen')
  return address.port
}

t.end()
