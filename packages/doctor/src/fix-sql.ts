import type { DoctorReport } from '@freehold/contract'

/** What is printed is meant so: nothing that somebody has put into another schema is found instead. */
const BEGIN = 'begin;\nset local search_path = pg_catalog, pg_temp;'
const NOT_TRIED = 'trial-not-tried'

/**
 * The statements that mend what SQL can mend, in the order in which they are to be run, in one transaction: to be
 * read by a person, and run as the owner of the tables or as superuser.
 *
 * @returns a script; undefined when there is nothing to mend.
 */
export function fixScript(report: DoctorReport): string | undefined {
  const written = new Set<string>()
  const parts: string[] = []
  for (const finding of report.findings) {
    const statements = finding.sql.filter((statement) => !written.has(statement))
    if (statements.length === 0) continue
    for (const statement of statements) written.add(statement)
    parts.push(
      [`-- ${finding.check}: ${oneLine(finding.object)}: ${oneLine(finding.found)}`, ...statements].join(
        '\n',
      ),
    )
  }
  if (parts.length === 0) return undefined
  // What was tried succeeds because of what the other findings say, and goes with it.
  const left = report.findings.filter(
    ({ sql, check }) => sql.length === 0 && (check === NOT_TRIED || !check.startsWith('trial-')),
  )
  const rest = left.map(
    ({ check, object, fix }) => `-- Not by SQL: ${check}: ${oneLine(object)}: ${oneLine(fix)}`,
  )
  return [BEGIN, ...parts, 'commit;', ...rest].join('\n\n')
}

/** A name may hold a line break, and what follows it must stay a comment. */
const oneLine = (text: string): string => text.replaceAll(/[\p{Cc}\s]+/gu, ' ')
