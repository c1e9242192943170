import type { SystemName } from '../systems/system.ts'
import type { Row } from './result.ts'

/** What the router promises, as a ratio of operations a second. */
interface Budget {
  readonly delayMs: number
  readonly against: SystemName & ('plain' | 'set-config')
  readonly atLeast: number
}

const CASE = 'point-read'
const CONNECTIONS = 16

const budgets: readonly Budget[] = [
  { delayMs: 0, against: 'plain', atLeast: 1.1 },
  { delayMs: 0, against: 'set-config', atLeast: 2.2 },
  { delayMs: 1, against: 'plain', atLeast: 1 },
  { delayMs: 1, against: 'set-config', atLeast: 3.2 },
]

export interface JudgedBudget extends Budget {
  readonly name: string
  readonly measured: number
  readonly met: boolean
}

/** The budgets that a run has measured; those whose situation was not in it are left out. */
export function judgeBudgets(rows: readonly Row[]): JudgedBudget[] {
  return budgets.flatMap((budget) => {
    const row = rows.find(
      (row) =>
        row.system === 'freehold' &&
        row.case === CASE &&
        row.connections === CONNECTIONS &&
        row.delayMs === budget.delayMs,
    )
    const measured = budget.against === 'plain' ? row?.ratioToPlain : row?.ratioToSetConfig
    if (measured == null) return []
    const name = `${CASE}, ${CONNECTIONS} connections, ${budget.delayMs} ms each way, against ${budget.against}`
    return [{ ...budget, name, measured, met: measured >= budget.atLeast }]
  })
}
