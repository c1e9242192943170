import { execFile } from 'node:child_process'
import { access, constants, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { DatabaseAddress } from '@freehold/postgres'

const run = promisify(execFile)

const DEBIAN = '/usr/lib/postgresql'

/**
 * The program itself where Debian's package has put it: what its path leads to is a script in Perl, which takes longer
 * to start than psql does.
 */
async function findPsql(): Promise<string> {
  const versions = await readdir(DEBIAN).catch(() => [])
  const newestFirst = versions.sort((one, other) => Number(other) - Number(one))
  for (const version of newestFirst) {
    const program = join(DEBIAN, version, 'bin', 'psql')
    const runs = await access(program, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (runs) return program
  }
  return 'psql'
}

/** A database, and a statement for it. */
export type Statement = readonly [DatabaseAddress, string]

export interface Psql {
  /** `psql | psql` through the shell's own pipe, with settings for the sessions: no byte passes through this process. */
  pipe(from: Statement, into: Statement, settings?: string): Promise<void>
  /** Runs statements one after the other in one session. */
  run(database: DatabaseAddress, statements: readonly string[]): Promise<void>
}

const OPTIONS = ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1']

/** @param signal ends what runs. */
export async function openPsql(signal: AbortSignal): Promise<Psql> {
  const program = await findPsql()
  const psql = [program, ...OPTIONS].join(' ')
  const script = `PGPASSWORD=$FROM_PASSWORD ${psql} "$1" -c "$2" | PGPASSWORD=$INTO_PASSWORD ${psql} "$3" -c "$4"`
  return {
    async pipe([source, copyOut], [target, copyIn], settings = '') {
      const args = [conninfo(source), copyOut, conninfo(target), copyIn]
      const env = {
        ...process.env,
        FROM_PASSWORD: source.password,
        INTO_PASSWORD: target.password,
        PGOPTIONS: settings,
      }
      await run('sh', ['-c', script, 'sh', ...args], { env, signal })
    },
    async run(database, statements) {
      const commands = statements.flatMap((statement) => ['-c', statement])
      const env = { ...process.env, PGPASSWORD: database.password }
      await run(program, [...OPTIONS, conninfo(database), ...commands], { env, signal })
    },
  }
}

function conninfo({ host, port, database, user }: DatabaseAddress): string {
  return `host=${host} port=${port} dbname=${database} user=${user}`
}
