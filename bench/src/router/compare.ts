import type { DatabaseAddress } from '@freehold/postgres'
import { ascending, median, quantile } from '../statistics.ts'
import { systems } from '../systems/index.ts'
import type { System, SystemName } from '../systems/system.ts'
import { type CaseName, operation, writesOf } from './cases.ts'
import type { Ground } from './ground.ts'
import type { Row } from './result.ts'
import { runSlice, type Slice } from './slice.ts'

/** What is compared, and for how long. */
export interface Comparison {
  readonly case: CaseName
  readonly connections: number
  readonly delayMs: number
  readonly systems: readonly SystemName[]
  readonly rounds: number
  readonly sliceMs: number
}

interface Contestant {
  readonly name: SystemName
  readonly table: string
  readonly system: System
  readonly operation: () => Promise<void>
  readonly slices: Slice[]
  readonly latenciesMs: number[]
  /** All that it did, warming up included. */
  operations: number
}

/**
 * Measures the systems in short turns, round after round, so that whatever else the machine does falls on all of
 * them, and compares them within each round.
 *
 * @throws Error when a system gave a wrong answer, or did not write what it said it had.
 */
export async function compare(
  ground: Ground,
  address: DatabaseAddress,
  comparison: Comparison,
  signal: AbortSignal,
): Promise<Row[]> {
  const contestants = comparison.systems.map((name): Contestant => {
    const { table, open } = systems[name]
    const system = open({ ground, address, connections: comparison.connections })
    return {
      name,
      table,
      system,
      operation: operation(comparison.case, system, ground.rows),
      slices: [],
      latenciesMs: [],
      operations: 0,
    }
  })
  try {
    for (const contestant of contestants) await turn(ground, contestant, comparison, signal)
    for (const contestant of contestants) forgetWarmUp(contestant)
    for (let round = 0; round < comparison.rounds; round++) {
      // Nobody always follows the same neighbour.
      const first = round % contestants.length
      const order = [...contestants.slice(first), ...contestants.slice(0, first)]
      for (const contestant of order) await turn(ground, contestant, comparison, signal)
    }
  } finally {
    await Promise.all(contestants.map(({ system }) => system.close()))
  }
  for (const contestant of contestants) await checkWrites(ground, contestant, comparison.case)
  return contestants.map((contestant) => row(contestant, contestants, comparison))
}

async function turn(
  ground: Ground,
  contestant: Contestant,
  { connections, sliceMs }: Comparison,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  const options = { callers: connections, milliseconds: sliceMs, serverPid: ground.serverPid }
  try {
    const slice = await runSlice(contestant.operation, options, contestant.latenciesMs)
    contestant.slices.push(slice)
    contestant.operations += slice.operations
  } catch (error) {
    throw new Error(`${contestant.name} failed`, { cause: error })
  }
}

function forgetWarmUp({ slices, latenciesMs }: Contestant): void {
  slices.length = 0
  latenciesMs.length = 0
}

/** What was answered must also have happened. */
async function checkWrites(
  ground: Ground,
  { name, table, operations }: Contestant,
  of: CaseName,
): Promise<void> {
  const expected = writesOf[of]
  const found = await ground.writes(table)
  if (found.inserted !== operations * expected.inserted || found.updated !== operations * expected.updated) {
    throw new Error(`${name} did ${operations} times ${of}, and left ${JSON.stringify(found)}`)
  }
  if (expected.inserted + expected.updated > 0) await ground.reset(table)
}

function row(
  contestant: Contestant,
  all: readonly Contestant[],
  { connections, delayMs, ...comparison }: Comparison,
): Row {
  const { name, slices } = contestant
  const latencies = ascending(contestant.latenciesMs)
  const operations = sum(slices.map((slice) => slice.operations))
  const serverCpuUs = slices.map((slice) => slice.serverCpuUs)
  return {
    case: comparison.case,
    connections,
    delayMs,
    system: name,
    qps: median(slices.map(qps)),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    ratioToPlain: ratio(contestant, all, 'plain'),
    ratioToSetConfig: ratio(contestant, all, 'set-config'),
    clientCpuUs: sum(slices.map((slice) => slice.clientCpuUs)) / operations,
    serverCpuUs: serverCpuUs.every((time) => time !== null) ? sum(serverCpuUs) / operations : null,
  }
}

function ratio(one: Contestant, all: readonly Contestant[], to: SystemName): number | null {
  const other = all.find(({ name }) => name === to)
  if (!other) return null
  const rounds = one.slices.flatMap((slice, round) => {
    const same = other.slices[round]
    return same ? [qps(slice) / qps(same)] : []
  })
  return median(rounds)
}

function qps({ operations, elapsedMs }: Slice): number {
  return (operations / elapsedMs) * 1_000
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
