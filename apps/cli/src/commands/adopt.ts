import { randomBytes } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { parseEnv } from 'node:util'
import { FreeholdError } from '@freehold/contract'
import { type AdoptionReport, adoptDatabase, dataMigrations } from '@freehold/data-database'
import {
  type DatabaseAddress,
  formatDatabaseUrl,
  hasSqlState,
  isConnectionError,
  parseDatabaseUrl,
  SQLSTATE,
} from '@freehold/postgres'
import type { Command } from 'commander'
import { z } from 'zod'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import type { Terminal } from '../terminal.ts'

interface AdoptOptions {
  readonly saveTo: string
  readonly like?: string
  readonly tenants?: string
  readonly migrationRole?: string
  readonly json?: boolean
}

/** What the router needs, as the file holds it. */
const environmentSchema = z.object({
  FREEHOLD_ENTRY_SECRET: z.string().min(32),
  FREEHOLD_DATABASE_URL: z.string(),
  FREEHOLD_CONTROL_URL: z.string(),
})
type RouterEnvironment = z.infer<typeof environmentSchema>

export function addAdoptCommand(
  program: Command,
  terminal: Terminal,
  environment: Readonly<Record<string, string | undefined>>,
  end: (code: ExitCode) => void,
): void {
  program
    .command('adopt')
    .description('prepare a database that is in use for the router, without touching its tables')
    .argument('<url>', 'the database, as a role that may create roles; a password may come from PGPASSWORD')
    .requiredOption('--save-to <file>', 'where to write the URLs and the secret that the router needs')
    .option(
      '--like <file>',
      'the file of another database in the same cluster: its passwords and secret are used',
    )
    .option(
      '--tenants <query>',
      "SQL whose first column is every tenant's id, as in: select id from accounts",
    )
    .option(
      '--migration-role <role>',
      "the role that runs the product's migrations; the database's owner unless given",
    )
    .action(async (url: string, _options: object, command: Command) => {
      const options = command.optsWithGlobals<AdoptOptions>()
      const report = await adopt(withPassword(url, environment.PGPASSWORD), options)
      terminal.print(options.json === true ? JSON.stringify(report) : describe(report, options.saveTo))
      end(EXIT.ok)
    })
}

async function adopt(admin: DatabaseAddress, options: AdoptOptions): Promise<AdoptionReport> {
  const known =
    (await readEnvironment(options.saveTo)) ??
    (options.like === undefined ? undefined : await readExisting(options.like))
  const entrySecret = known?.FREEHOLD_ENTRY_SECRET ?? randomSecret()
  const passwords = {
    freehold_app: passwordOf(known?.FREEHOLD_DATABASE_URL),
    freehold_control: passwordOf(known?.FREEHOLD_CONTROL_URL),
  }
  const urlFor = (user: keyof typeof passwords) =>
    formatDatabaseUrl({ ...admin, user, password: passwords[user] })
  // Before the database: a password that is set there and written nowhere would be lost.
  await writeEnvironment(options.saveTo, {
    FREEHOLD_ENTRY_SECRET: entrySecret,
    FREEHOLD_DATABASE_URL: urlFor('freehold_app'),
    FREEHOLD_CONTROL_URL: urlFor('freehold_control'),
  })
  const { tenants, migrationRole } = options
  return explained(() =>
    adoptDatabase({
      admin,
      passwords,
      entrySecret,
      migrations: dataMigrations(),
      rolesAreOurs: known !== undefined,
      ...(tenants === undefined ? {} : { tenants }),
      ...(migrationRole === undefined ? {} : { migrationRole }),
    }),
  )
}

/** What PostgreSQL says, as an error with a code. It may be run again after any of them. */
async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (
      hasSqlState(cause, SQLSTATE.invalidPassword, SQLSTATE.invalidAuthorization, SQLSTATE.invalidCatalogName)
    ) {
      throw new FreeholdError('inspected_database_refused', `PostgreSQL says: ${cause.message}.`, { cause })
    }
    if (isConnectionError(cause))
      throw new FreeholdError('inspected_database_unreachable', undefined, { cause })
    if (cause instanceof Error && 'severity' in cause) {
      throw new FreeholdError('config_invalid', `PostgreSQL says: ${cause.message}.`, { cause })
    }
    throw cause
  }
}

function withPassword(url: string, password: string | undefined): DatabaseAddress {
  try {
    const address = parseDatabaseUrl(url)
    return address.password === '' && password ? { ...address, password } : address
  } catch (cause) {
    throw new FreeholdError('config_invalid', 'That is not a URL of a PostgreSQL database.', { cause })
  }
}

/** @returns undefined when there is no such file yet. */
async function readEnvironment(file: string): Promise<RouterEnvironment | undefined> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new FreeholdError('config_invalid', `The file ${file} cannot be read.`, { cause: error })
  }
  const known = environmentSchema.safeParse(parseEnv(text))
  if (known.success) return known.data
  throw new FreeholdError('config_invalid', `The file ${file} exists and was not written by freehold adopt.`)
}

async function readExisting(file: string): Promise<RouterEnvironment> {
  const known = await readEnvironment(file)
  if (known !== undefined) return known
  throw new FreeholdError('config_invalid', `There is no file ${file}.`)
}

async function writeEnvironment(file: string, values: RouterEnvironment): Promise<void> {
  const text = Object.entries(values)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
  // A name that nobody can have prepared, so that the secrets go nowhere else and nobody else may read them.
  const fresh = `${file}.${randomBytes(8).toString('hex')}`
  try {
    const handle = await open(fresh, 'wx', 0o600)
    try {
      await handle.writeFile(text)
    } finally {
      await handle.close()
    }
    await rename(fresh, file)
  } catch (cause) {
    await rm(fresh, { force: true })
    throw new FreeholdError('config_invalid', `The file ${file} cannot be written.`, { cause })
  }
}

function passwordOf(url: string | undefined): string {
  return url === undefined ? randomSecret() : parseDatabaseUrl(url).password
}

function randomSecret(): string {
  return randomBytes(32).toString('base64url')
}

function describe(report: AdoptionReport, saveTo: string): string {
  const lines = [
    `${report.database} is ready for the router; no table was touched.`,
    `  tenants let in now: ${report.admitted}, already in: ${report.alreadyIn}`,
    `  ${report.migrationRole} may now run freehold.protect_table() in the product's migrations`,
    `  what the router needs is in ${saveTo}; keep it secret`,
  ]
  if (!report.sharedWaysClosed) {
    lines.push(
      '  not a superuser: large objects and pg_settings stay open to everybody; freehold doctor says how to close them',
    )
  }
  return lines.join('\n')
}
