import type { DoctorReport } from '@freehold/contract'
import { diagnose, fixScript, readAddress } from '@freehold/doctor'
import type { Command } from 'commander'
import { describeReport } from '../doctor-view.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { describeProblem, problemOf } from '../problem-error.ts'
import type { Terminal } from '../terminal.ts'

interface DoctorCommandOptions {
  readonly tenantColumn?: string
  readonly schema: readonly string[]
  readonly appRole?: string
  readonly reference: readonly string[]
  readonly setting: readonly string[]
  readonly allow: readonly string[]
  readonly trial: boolean
  readonly passwordRef?: string
  readonly trialUrl?: string
  readonly trialPasswordRef?: string
  readonly strict?: boolean
  readonly fixSql?: boolean
  readonly json?: boolean
}

const PROGRESS_AFTER_MS = 1_000

const HELP = `
The address has the form postgres://user@host:5432/database?sslmode=disable; the password may also be in PGPASSWORD.
Connect as the role that runs the product's migrations and owns its tables; made a member of the application's role, it
tries as that. As superuser the catalogs are read and nothing is tried, because trying runs code of the database: the
trial then needs --trial-url.

Nothing is changed. Exit status: 0 no findings that block; 1 findings; 2 it could not be checked.`

/** @param end is told how the process should end. */
export function addDoctorCommand(
  program: Command,
  terminal: Terminal,
  environment: Readonly<Record<string, string | undefined>>,
  end: (code: ExitCode) => void,
): void {
  program
    .command('doctor')
    .description('prove that a database keeps its tenants apart; reads it, and changes nothing')
    .argument('<database>', 'postgres://user@host:port/database')
    .option('--app-role <role>', 'as whom the application connects; freehold_app where Freehold is')
    .option('--tenant-column <column>', 'says whose a row is; tenant_id unless declared otherwise')
    .option('--schema <schema>', 'look at this schema only; may be repeated', collect, [])
    .option('--reference <table>', 'holds the same rows for every tenant; may be repeated', collect, [])
    .option('--setting <name>', 'says which tenant is entered (app.tenant_id); may be repeated', collect, [])
    .option('--allow <finding>', 'accept it: check or check=object; may be repeated', collect, [])
    .option('--no-trial', 'read the catalogs only')
    .option('--trial-url <database>', 'as whom to try, if not as whom it reads: no superuser')
    .option('--trial-password-ref <reference>', "where that address's password is: env:NAME or file:/path")
    .option('--password-ref <reference>', 'where the password is: env:NAME or file:/path')
    .option('--strict', 'advisory findings count as well')
    .option('--fix-sql', 'print the SQL that mends what SQL can mend')
    .addHelpText('after', HELP)
    .action(async (database: string, _options: object, command: Command) => {
      const options = command.optsWithGlobals<DoctorCommandOptions>()
      try {
        const report = await examine(database, options, terminal, environment)
        terminal.print(render(report, options, terminal))
        const counted = report.summary.blocking + (options.strict === true ? report.summary.advisory : 0)
        end(counted > 0 ? EXIT.findings : EXIT.ok)
      } catch (error) {
        const problem = problemOf(error)
        terminal.remark(options.json === true ? JSON.stringify(problem) : describeProblem(problem))
        end(EXIT.unchecked)
      }
    })
}

async function examine(
  database: string,
  options: DoctorCommandOptions,
  terminal: Terminal,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<DoctorReport> {
  const { passwordRef, appRole, tenantColumn } = options
  const address = await readAddress(database, {
    environment,
    ...(passwordRef === undefined ? {} : { passwordRef }),
  })
  const trialAddress =
    options.trialUrl === undefined
      ? undefined
      : await readAddress(options.trialUrl, {
          environment,
          ...(options.trialPasswordRef === undefined ? {} : { passwordRef: options.trialPasswordRef }),
        })
  const startedAt = performance.now()
  return diagnose(
    address,
    {
      ...(appRole === undefined ? {} : { appRole }),
      ...(tenantColumn === undefined ? {} : { tenantColumn }),
      schemas: [...options.schema],
      referenceTables: [...options.reference],
      settings: [...options.setting],
      allow: [...options.allow],
      trial: options.trial,
      ...(trialAddress === undefined ? {} : { trialAddress }),
    },
    (message) => {
      const isLong = terminal.isLive || performance.now() - startedAt > PROGRESS_AFTER_MS
      if (isLong && options.json !== true) terminal.remark(`doctor: ${message}`)
    },
  )
}

function render(report: DoctorReport, options: DoctorCommandOptions, terminal: Terminal): string {
  if (options.fixSql === true) return fixScript(report) ?? '-- There is nothing that SQL could mend.'
  return options.json === true ? JSON.stringify(report) : describeReport(report, terminal)
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value]
