import { delayAddress, roundTripMs } from '../delay/delayed-address.ts'
import { judgeBudgets } from './budgets.ts'
import { compare } from './compare.ts'
import { type Ground, prepareGround } from './ground.ts'
import { parseRouterArguments, type RouterBenchOptions } from './options.ts'
import { budgetLine, delayLine, rowsTable } from './report.ts'
import type { MeasuredDelay, Row } from './result.ts'

/**
 * Measures the router beside its baseline and its peers on a server of its own, and prints what it found.
 *
 * @throws BadArguments, or an Error when a system gave a wrong answer.
 */
export async function runRouterBench(args: readonly string[], signal: AbortSignal): Promise<void> {
  const options = parseRouterArguments(args)
  note(`loading ${options.tenants} tenants with ${options.rowsPerTenant} rows each`)
  const ground = await prepareGround(options.tenants, options.rowsPerTenant)
  try {
    const { rows, delays } = await measureAll(ground, options, signal)
    const budgets = judgeBudgets(rows)
    print(rowsTable(rows))
    print(['', ...delays.map(delayLine), ...budgets.map(budgetLine)].join('\n'))
    if (options.json) print(JSON.stringify({ rows, delays, budgets }))
  } finally {
    await ground.remove()
  }
}

async function measureAll(ground: Ground, options: RouterBenchOptions, signal: AbortSignal) {
  const rows: Row[] = []
  const delays: MeasuredDelay[] = []
  for (const delayMs of options.delaysMs) {
    const delayed = await delayAddress(ground.address, delayMs)
    try {
      delays.push({ delayMs, roundTripMs: await roundTripMs(delayed.address) })
      for (const name of options.cases) {
        for (const connections of options.connections) {
          note(`${name}, ${connections} connections, ${delayMs} ms each way`)
          const { systems, rounds, sliceMs } = options
          const comparison = { case: name, connections, delayMs, systems, rounds, sliceMs }
          rows.push(...(await compare(ground, delayed.address, comparison, signal)))
        }
      }
    } finally {
      await delayed.close()
    }
  }
  return { rows, delays }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Progress goes where it does not mix with the result. */
function note(text: string): void {
  process.stderr.write(`${text}\n`)
}
