import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isFreeholdError } from '@freehold/contract'
import t from 'tap'
import { takeLock } from '../src/stack/lock.ts'
import { readPorts, writePorts } from '../src/stack/state.ts'
import { complaintOf } from '../src/start/complaint.ts'
import { HttpClient } from '../src/start/http-client.ts'
import { RunLog } from '../src/start/run-log.ts'
import { within } from './support.ts'

const directory = await mkdtemp(join(tmpdir(), 'freehold-parts-'))
t.teardown(() => rm(directory, { recursive: true }))

t.test('a lock', async (t) => {
  const path = join(directory, 'stack.pid')
  const release = await takeLock(path)

  t.test('is held by one', async (t) => {
    const error = await takeLock(path).catch((e) => e)
    t.ok(isFreeholdError(error, 'stack_already_running'))
    t.match(error.message, String(process.pid))
    t.equal((await stat(path)).mode & 0o777, 0o600)
  })

  t.test('can be taken again once it is given back', async () => {
    await release()
    await (await takeLock(path))()
  })

  t.test('is not kept by a process that is gone, nor by one that got its number', async (t) => {
    const gone = spawn('true')
    await new Promise((resolve) => gone.once('exit', resolve))
    for (const content of [
      JSON.stringify({ pid: gone.pid, started: '1' }),
      JSON.stringify({ pid: process.pid, started: '1' }),
      'not even JSON',
    ]) {
      await writeFile(path, content)
      const retaken = await takeLock(path)
      t.match(await readFile(path, 'utf8'), `"pid":${process.pid}`)
      await retaken()
    }
  })
})

t.test('ports are remembered; what cannot be read is forgotten', async (t) => {
  const path = join(directory, 'state.json')
  t.strictSame(await readPorts(path), {})
  const ports = { clusters: { 'us-1': 20_001 }, controlApi: 20_002, productApi: 20_003 }
  await writePorts(path, ports)
  t.strictSame(await readPorts(path), ports)
  await writeFile(path, (await readFile(path, 'utf8')).replace('20002', '99999'))
  t.strictSame(await readPorts(path), {})
})

t.test('an error that nobody foresaw is one line, and the log has the rest', async (t) => {
  const log = new RunLog(join(directory, 'stack.log'))
  const error = new TypeError('fetch failed', { cause: new Error('bad port') })
  t.match(complaintOf(error, log), /^Freehold cannot run: fetch failed \(bad port\)\n.*stack_start_failed\)$/)
  log.write('begun')
  t.match(complaintOf(error, log), `More is in ${log.path}`)
  t.notMatch(complaintOf(error, log), '    at ')
  t.ok(
    await within(2_000, () =>
      / {4}at .*bad port/s.test(readFileSync(log.path, { flag: 'a+', encoding: 'utf8' })),
    ),
  )
})

t.test('an API that does not answer is named, with how long it was waited for', async (t) => {
  const silent = createServer()
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => silent.close())
  const address = silent.address()
  const port = address instanceof Object ? address.port : 0
  const client = new HttpClient(`http://127.0.0.1:${port}`, 'token', 20)
  await t.rejects(client.get('/v1/tenants/acme'), {
    code: 'stack_start_failed',
    message: `http://127.0.0.1:${port}/v1/tenants/acme was waited for 0.02 s and has not answered.`,
  })
})
