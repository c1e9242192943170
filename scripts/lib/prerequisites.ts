import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { runProgram } from './run-program.ts'

/** A program that tests and benchmarks start and npm does not bring. */
interface Prerequisite {
  readonly name: string
  readonly places: () => readonly string[]
  /** The Debian packages that bring it. */
  readonly packages: readonly string[]
  /** The service that a package may start, which tests do not need: they start servers of their own. */
  readonly service?: string
}

const onPath = (program: string) =>
  (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, program))

const PSQL: Prerequisite = {
  name: 'psql',
  places: () => onPath('psql'),
  packages: ['postgresql-client'],
}

/** Only benchmarks start it, and only where it is. */
const PGCOPYDB: Prerequisite = {
  name: 'pgcopydb',
  places: () => onPath('pgcopydb'),
  packages: ['pgcopydb'],
}

const PREREQUISITES: readonly Prerequisite[] = [
  PSQL,
  {
    name: 'Redis (redis-server)',
    places: () => onPath('redis-server'),
    packages: ['redis-server'],
    service: 'redis-server',
  },
  {
    name: 'PgBouncer (pgbouncer)',
    // Debian puts it where the path of an ordinary user does not lead.
    places: () => [...onPath('pgbouncer'), '/usr/sbin/pgbouncer'],
    packages: ['pgbouncer'],
    service: 'pgbouncer',
  },
  {
    name: 'Chromium (/usr/bin/chromium)',
    places: () => ['/usr/bin/chromium'],
    // Without a font of its own a browser shows, and measures, no text.
    packages: ['chromium', 'fonts-liberation'],
  },
  {
    name: 'SPIN (spin)',
    places: () => onPath('spin'),
    packages: ['spin'],
  },
  {
    name: 'a C compiler (gcc)',
    places: () => onPath('gcc'),
    // SPIN writes a program in C. The compiler only recommends the headers.
    packages: ['gcc', 'libc6-dev'],
  },
]

/**
 * Makes sure that psql, Redis, PgBouncer, Chromium, SPIN and a C compiler are there, and installs them when it may: with
 * apt, as root (or, in CI, through sudo).
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
  return (await findMissing()).map(howToInstall)
}

/** @returns what to do about psql in a sentence, when it is missing. */
export async function missingPsql(): Promise<string | undefined> {
  return adviceFor(PSQL)
}

/** @returns what to do about pgcopydb in a sentence, when it is missing. */
export async function missingPgcopydb(): Promise<string | undefined> {
  return adviceFor(PGCOPYDB)
}

async function adviceFor(one: Prerequisite): Promise<string | undefined> {
  return (await isAnyExecutable(one.places())) ? undefined : howToInstall(one)
}

function howToInstall({ name, packages }: Prerequisite): string {
  return `${name} is missing. Install it (Debian: apt-get install ${packages.join(' ')}).`
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
  const running = await runningServices()
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
  // Under systemd a package starts its service all the same.
  for (const service of (await runningServices()).filter((name) => !running.includes(name))) {
    const [program = 'service', ...args] = [...asRoot, 'service', service, 'stop']
    await runProgram(program, args)
  }
}

async function runningServices(): Promise<string[]> {
  const services = PREREQUISITES.flatMap(({ service }) => service ?? [])
  const up = await Promise.all(
    services.map(async (name) => (await runProgram('service', [name, 'status'])).ok),
  )
  return services.filter((_, index) => up[index])
}
