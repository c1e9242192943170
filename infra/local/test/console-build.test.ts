import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { processesOf } from '../../../test/kit/processes.ts'
import { buildConsole } from '../src/console-build.ts'
import { repositoryPath } from '../src/stack/layout.ts'

const directory = await mkdtemp(join(tmpdir(), 'freehold-console-'))
t.teardown(() => rm(directory, { recursive: true }))

const room = repositoryPath('apps/console/node_modules/.freehold-build')
const builds = () => processesOf(room).filter(({ command }) => command.includes('vite'))

t.test('a build that nobody waits for any more ends at once, and leaves nothing', async (t) => {
  const folder = join(directory, 'ended')
  const others = new Set(builds().map(({ pid }) => pid))
  const stopping = new AbortController()
  const build = buildConsole({ signal: stopping.signal, folder })
  const seen = async () => {
    while (builds().every(({ pid }) => others.has(pid))) await sleep(5)
    stopping.abort(new Error('enough'))
  }
  const [outcome] = await Promise.allSettled([build, seen()])
  t.match(outcome, { status: 'rejected', reason: { message: 'enough' } })
  t.notOk(existsSync(folder))
  t.ok(builds().every(({ pid }) => others.has(pid)))
})

t.test('the console is built whole, over one that is there', async (t) => {
  const folder = join(directory, 'whole')
  await Promise.all([buildConsole({ folder }), buildConsole({ folder })])
  const first = await readdir(folder)
  t.ok(first.includes('index.html'))
  await buildConsole({ folder })
  t.same(await readdir(folder), first)
})

t.test('what a build has left that was killed goes with a later one, and no other', async (t) => {
  const [killed, underWay] = [join(room, 'build-killed'), join(room, 'build-under-way')]
  t.teardown(() => rm(underWay, { recursive: true }))
  for (const left of [killed, underWay]) await mkdir(join(left, 'new'), { recursive: true })
  const long = new Date(Date.now() - 2 * 3_600_000)
  await utimes(killed, long, long)
  await buildConsole({ folder: join(directory, 'later') })
  t.notOk(existsSync(killed))
  t.ok(existsSync(underWay))
})
