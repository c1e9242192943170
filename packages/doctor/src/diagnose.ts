import type { DoctorFinding, DoctorReport } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import { runCheck, tenantTables } from './check.ts'
import { checks } from './checks/index.ts'
import { withInspectedDatabase } from './connect.ts'
import type { Facts } from './facts/model.ts'
import { readFacts } from './facts/read-facts.ts'
import { assertMeant } from './meant.ts'
import { type DoctorOptions, type DoctorSettings, parseDoctorOptions } from './options.ts'
import { holdTrial } from './trial/hold-trial.ts'
import { noTrial, type Trial } from './trial/trial.ts'

/**
 * Examines whether a database keeps its tenants apart: reads its catalogs, then lets two synthetic tenants try to
 * reach each other. Nothing is changed: both happen in transactions that are rolled back. Reading runs no code of the
 * database, and the trial is held as a role that is no superuser.
 *
 * @param progress is told what is being done.
 * @throws FreeholdError `config_invalid`, `inspected_database_unreachable`, `inspected_database_refused`,
 * `inspection_failed`.
 * @example
 * ```ts
 * const address = await readAddress('postgres://shop_owner@127.0.0.1/shop?sslmode=disable', { environment: process.env })
 * const report = await diagnose(address, { appRole: 'shop_app', tenantColumn: 'account_id' })
 * if (report.summary.blocking > 0) process.exitCode = 1
 * ```
 */
export async function diagnose(
  address: DatabaseAddress,
  options: DoctorOptions = {},
  progress: (message: string) => void = () => undefined,
): Promise<DoctorReport> {
  const settings = parseDoctorOptions(options)
  return withInspectedDatabase(address, async (client) => {
    progress('reading the catalogs')
    await client.query('begin isolation level repeatable read read only')
    const facts = await readFacts(client, address, settings)
    await client.query('rollback')
    assertMeant(settings, facts)
    const found = checks.flatMap((check) => runCheck(check, facts))
    const trial = settings.trial
      ? await holdTrial(client, facts, settings.trialAddress, progress)
      : noTrial('Nothing was tried: the trial was switched off.')
    return report(facts, settings, [...found, ...trial.findings], trial)
  })
}

function report(
  facts: Facts,
  settings: DoctorSettings,
  found: readonly DoctorFinding[],
  trial: Trial,
): DoctorReport {
  const isWaived = ({ check, object }: DoctorFinding) =>
    settings.allow.includes(check) || settings.allow.includes(`${check}=${object}`)
  const findings = found.filter((finding) => !isWaived(finding))
  const count = (severity: DoctorFinding['severity']) =>
    findings.filter((one) => one.severity === severity).length
  const labels = (...kinds: string[]) =>
    facts.tables.filter(({ kind, root }) => kinds.includes(kind) && root === null).map(({ label }) => label)
  return {
    version: 1,
    database: {
      host: facts.host,
      port: facts.port,
      name: facts.database,
      serverVersion: facts.serverVersion,
      freehold: facts.hasFreehold,
    },
    connectedAs: facts.connectedAs,
    appRole: facts.app.name,
    tenantColumn: facts.tenantColumn,
    tables: {
      tenant: tenantTables(facts)
        .filter(({ root }) => root === null)
        .map(({ label }) => label),
      reference: labels('reference', 'registry'),
      undeclared: labels('undeclared'),
    },
    tried: { tables: [...trial.tables], as: trial.as, attempts: trial.attempts },
    limits: [...limitsOf(facts), ...trial.limits],
    findings,
    waived: found.filter(isWaived),
    summary: { blocking: count('blocking'), advisory: count('advisory') },
  }
}

function limitsOf(facts: Facts): string[] {
  return facts.hasFreehold && facts.leftovers === null
    ? [`${facts.connectedAs} may not read freehold.resident: leftovers were not looked for.`]
    : []
}
