import { type DoctorFinding, type DoctorReport, doctorReportSchema } from '@freehold/contract'
import { printable } from './printable.ts'
import type { Terminal } from './terminal.ts'

/** A report for people: what was looked at, the findings by check, what could not be checked, and the sum. */
export function describeReport(original: DoctorReport, terminal: Terminal): string {
  const report = printable(doctorReportSchema, original)
  const { database, tables, tried, findings, limits, waived } = report
  const count = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`
  const head = [
    terminal.style(
      'bold',
      `${database.name} on ${database.host}:${database.port}, PostgreSQL ${database.serverVersion}`,
    ),
    `Judged for the role ${report.appRole}, by the column ${report.tenantColumn}, connected as ${report.connectedAs}.`,
    `${count(tables.tenant.length, 'tenant table')}, ${count(tables.reference.length, 'reference table')}; ${tried.as === null ? 'nothing was tried' : `${count(tried.attempts, 'attempt')} to cross as ${tried.as} on ${count(tried.tables.length, 'table')}`}.`,
  ].join('\n')
  const groups = [...groupByCheck(findings)].map((group) => describeGroup(group, terminal))
  const parts = [
    head,
    ...groups,
    limits.length > 0 && ['Not checked:', ...limits.map((limit) => `  ${limit}`)].join('\n'),
    waived.length > 0 && `Accepted beforehand: ${[...new Set(waived.map(({ check }) => check))].join(', ')}.`,
    summary(report, terminal),
  ]
  return parts.filter((part) => part !== false).join('\n\n')
}

function describeGroup(findings: readonly DoctorFinding[], terminal: Terminal): string {
  const [first] = findings
  if (!first) return ''
  const checks = [...new Set(findings.map(({ check }) => check))]
  const isBlocking = findings.some(({ severity }) => severity === 'blocking')
  const title = terminal.style(
    isBlocking ? 'red' : 'yellow',
    `${isBlocking ? 'BLOCKING' : 'ADVISORY'}  ${checks.join(', ')}`,
  )
  const fixes = [...new Set(findings.map(({ fix }) => fix))]
  return [
    title,
    ...findings.map(({ object, found }) => `  ${object}: ${found}`),
    terminal.style('dim', `  Why: ${first.why}`),
    ...fixes.map((fix) => `  Fix: ${fix}`),
  ].join('\n')
}

/** Blocking ones first, otherwise as they were found. */
function groupByCheck(findings: readonly DoctorFinding[]): DoctorFinding[][] {
  const groups = new Map<string, DoctorFinding[]>()
  for (const severity of ['blocking', 'advisory'] as const) {
    for (const finding of findings.filter((one) => one.severity === severity)) {
      // What was tried is one story, and has one remedy.
      const key = `${severity} ${finding.check.replace(/^trial-(?!not-tried).*/, 'trial')}`
      groups.set(key, [...(groups.get(key) ?? []), finding])
    }
  }
  return [...groups.values()]
}

function summary({ summary, findings }: DoctorReport, terminal: Terminal): string {
  const { blocking, advisory } = summary
  if (blocking + advisory === 0) return terminal.style('green', 'No findings.')
  const mendable = findings.filter(({ sql }) => sql.length > 0).length
  const sum = `${blocking} blocking, ${advisory} advisory.`
  const hint = mendable === 0 ? '' : ` --fix-sql prints the SQL that mends ${mendable} of them.`
  return terminal.style(blocking > 0 ? 'red' : 'yellow', sum) + hint
}
