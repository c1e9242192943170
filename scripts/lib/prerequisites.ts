import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { runProgram } from './run-program.ts'

/** A program that tests start and npm does not bring. */
interface Prerequisite {
  readonly name: string
  readonly places: () => readonly string[]
  /** The Debian packages that bring it. */
  readonly packages: readonly string[]
}

const PREREQUISITES: readonly Prerequisite[] = [
  {
    name: 'Redis (redis-server)',
    places: () => (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'redis-server')),
    packages: ['redis-server'],
  },
  {
    name: 'Chromium (/usr/bin/chromium)',
    places: () => ['/usr/bin/chromium'],
    // Without a font of its own a browser shows, and measures, no text.
    packages: ['chromium', 'fonts-liberation'],
  },
]

/**
 * Makes sure that Redis and Chromium are there, and installs them when it may: with apt, as root (or, in CI,
 * through sudo).
 *
 * @returns what is still missing, as sentences that say what to do.
 */
export async function ensurePrerequisites(print: (line: string) => void): Promise<string[]> {
  const missing = await findMissing()
  const apt = missing.length === 0 ? undefined : await findApt()
  if (apt !== undefined) {
    print(`Installing ${missing.map((one) => one.name).join(' and ')} ...`)
    await install(apt, missing, print)
  }
  return (await findMissing()).map(
    (one) => `${one.name} is missing. Install it (Debian: apt-get install ${one.packages.join(' ')}).`,
  )
}

async function findMissing(): Promise<Prerequisite[]> {
  const found = await Promise.all(PREREQUISITES.map(async (one) => await isAnyExecutable(one.places())))
  return PREREQUISITES.filter((_, index) => found[index] !== true)
}

async function isAnyExecutable(paths: readonly string[]): Promise<boolean> {
  const tries = paths.map((path) => access(path, constants.X_OK))
  return (await Promise.allSettled(tries)).some((result) => result.status === 'fulfilled')
}

/** The command by which we may run programs as root, up to the program; undefined when we may not, or without apt. */
async function findApt(): Promise<readonly string[] | undefined> {
  if (!(await runProgram('apt-get', ['--version'])).ok) return undefined
  if (process.getuid?.() === 0) return []
  const sudo = process.env.CI === 'true' && (await runProgram('sudo', ['-n', 'true'])).ok
  return sudo ? ['sudo', '-n'] : undefined
}

async function install(
  asRoot: readonly string[],
  missing: readonly Prerequisite[],
  print: (line: string) => void,
): Promise<void> {
  const redisRan = await isRedisServiceUp()
  const apt = [
    ...asRoot,
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    // For Debian's init scripts this is the runlevel in which services are not started.
    'RUNLEVEL=1',
    'apt-get',
    '-o',
    'DPkg::Lock::Timeout=120',
  ]
  const packages = missing.flatMap((one) => one.packages)
  for (const step of [['update'], ['install', '-y', '--no-install-recommends', ...packages]]) {
    const [program = 'env', ...args] = [...apt, ...step]
    const result = await runProgram(program, args)
    if (!result.ok)
      print(`apt-get ${step[0]} failed:\n${result.output.trim().split('\n').slice(-15).join('\n')}`)
  }
  // Under systemd the package starts its service all the same. The tests start servers of their own.
  if (!redisRan && (await isRedisServiceUp())) {
    const [program = 'service', ...args] = [...asRoot, 'service', 'redis-server', 'stop']
    await runProgram(program, args)
  }
}

async function isRedisServiceUp(): Promise<boolean> {
  return (await runProgram('service', ['redis-server', 'status'])).ok
}
