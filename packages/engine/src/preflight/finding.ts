import {
  type FindingCode,
  type FindingDefinition,
  FreeholdError,
  findingRegistry,
  type MoveFinding,
} from '@freehold/contract'

/** One thing that a check has found. What follows from it, and its remedy, stand in the registry. */
export interface Finding {
  readonly code: FindingCode
  /** What it is about, by name. */
  readonly object: string
  /** What is the case, in a sentence. */
  readonly found: string
  /** Facts for programs, when the finding is the reason for a refusal. */
  readonly details?: Readonly<Record<string, string | number>>
}

const definitionOf = (code: FindingCode): FindingDefinition => findingRegistry[code]

export function isBlocking({ code }: Finding): boolean {
  return definitionOf(code).severity === 'blocking'
}

/** Findings as a plan lists them: blocking ones first, otherwise as they were found. */
export function describeFindings(findings: readonly Finding[]): MoveFinding[] {
  const ordered = [...findings.filter(isBlocking), ...findings.filter((finding) => !isBlocking(finding))]
  return ordered.map(({ code, object, found }) => {
    const { severity, remedy } = definitionOf(code)
    return { code, severity, object, found, remedy }
  })
}

/**
 * Refuses a move for the findings that block it.
 *
 * @throws FreeholdError the error of the first blocking finding; `issues` and `details.findings` name all of them.
 */
export function refuseBlocked(findings: readonly Finding[]): void {
  const blocking = findings.filter(isBlocking)
  const [first] = blocking
  if (first === undefined) return
  const definition = definitionOf(first.code)
  throw new FreeholdError(
    definition.severity === 'blocking' ? definition.error : 'internal',
    blocking.map(({ found }) => found).join(' '),
    {
      details: { ...first.details, findings: [...new Set(blocking.map(({ code }) => code))].join(', ') },
      issues: blocking.map(({ code, object, found }) => ({ path: object, message: `${code}: ${found}` })),
    },
  )
}
