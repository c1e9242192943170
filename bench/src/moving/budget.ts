/** What a run promises about one number. */
export interface Budget {
  readonly name: string
  readonly measured: number
  readonly atLeast?: number
  readonly atMost?: number
}

export interface JudgedBudget extends Budget {
  readonly met: boolean
}

/** Says of each budget whether it is met. */
export function judge(budgets: readonly Budget[]): JudgedBudget[] {
  return budgets.map((budget) => {
    const { measured, atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = budget
    return { ...budget, met: measured >= atLeast && measured <= atMost }
  })
}

export function budgetLine({ name, measured, atLeast, atMost, met }: JudgedBudget): string {
  const wanted = atLeast === undefined ? `${atMost} or less` : `${atLeast} or more`
  return `${met ? 'met    ' : 'NOT MET'}  ${name}: ${rounded(measured)}, wanted ${wanted}`
}

/** To two digits after the point. */
export function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
