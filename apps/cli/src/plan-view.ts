import {
  findingRegistry,
  isBlocked,
  type MoveFinding,
  type MovePlan,
  movePlanSchema,
} from '@freehold/contract'
import {
  formatBytes,
  formatCount,
  formatFields,
  formatIsolations,
  formatPlacement,
  formatSeconds,
  formatTable,
} from './format.ts'
import { printable } from './printable.ts'
import type { Terminal } from './terminal.ts'

/** A plan for people: what would be done, what it would take, and what was found; what blocks comes first. */
export function describePlan(original: MovePlan, terminal: Terminal): string {
  const plan = printable(movePlanSchema, original)
  const head = [
    `${plan.tenant.slug} is to move from ${formatPlacement(plan.from)} to ${formatPlacement(plan.to)}.`,
    `That is a ${formatIsolations(plan.from, plan.to)}.`,
    'It keeps working meanwhile; writes are held for some milliseconds at the switch.',
    plan.rollbackWindowSeconds === 0
      ? 'It cannot be rolled back: after the switch the rows are removed from where they are now.'
      : `After the switch it can be rolled back for ${formatSeconds(plan.rollbackWindowSeconds)}.`,
    ...(plan.repair ? ['Rows of the target that verification finds to differ are rewritten, once.'] : []),
  ].join('\n')
  const groups = Map.groupBy(plan.findings, ({ code }) => code).values()
  const parts = [
    head,
    describeEstimates(plan),
    describeTables(plan),
    ...[...groups].map((findings) => describeGroup(findings, terminal)),
    verdict(plan, terminal),
  ]
  return parts.filter((part) => part !== undefined).join('\n\n')
}

function describeEstimates({ estimates }: MovePlan): string | undefined {
  if (estimates === null) return undefined
  const { rows, bytes, seconds, extraDisk, connections } = estimates
  return formatFields([
    ['Rows', `about ${formatCount(rows)} (${formatBytes(bytes)})`],
    ['Duration', `about ${formatSeconds(seconds)}`],
    [
      'Extra disk',
      `about ${formatBytes(extraDisk.targetBytes)} at the target; ${formatBytes(extraDisk.sourceBytes)} of log at the source`,
    ],
    ...(extraDisk.windowBytes === 0
      ? []
      : [
          [
            'Rollback window',
            `up to ${formatBytes(extraDisk.windowBytes)} more at the target, if the old home is away for as long as it is open`,
          ] as const,
        ]),
    [
      'Connections',
      `up to ${connections.source} at the source, ${connections.target} at the target; ${connections.replication} replication slots`,
    ],
  ])
}

function describeTables({ tables }: MovePlan): string | undefined {
  if (tables.length === 0) return undefined
  return formatTable(
    ['TABLE', 'ROWS', 'SIZE'],
    tables.map(({ table, rowsEstimated, bytesEstimated }) => [
      table,
      formatCount(rowsEstimated),
      formatBytes(bytesEstimated),
    ]),
  )
}

function describeGroup(findings: readonly MoveFinding[], terminal: Terminal): string {
  const [first] = findings
  if (first === undefined) return ''
  const { code, severity, remedy } = first
  return [
    terminal.style(
      severity === 'blocking' ? 'red' : 'yellow',
      `${severity.toUpperCase()}  ${code}: ${findingRegistry[code].title}`,
    ),
    ...findings.map(({ found }) => `  ${found}`),
    terminal.style('dim', `  Remedy: ${remedy}`),
  ].join('\n')
}

function verdict(plan: MovePlan, terminal: Terminal): string | undefined {
  if (!isBlocked(plan)) return undefined
  return terminal.style('red', 'Nothing was started: something blocks the move.')
}
