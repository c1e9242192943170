import type { TenantId } from '@freehold/contract'
import { type Outcome, runScript, type Way } from './script.ts'

/** One tenant's work, on all the databases that have its rows. */
export interface Lane {
  readonly name: string
  readonly tenant: TenantId
  /** The other tenant, of whom nothing may be seen. */
  readonly foreign: TenantId
  /** Its own database, which says what is right. */
  readonly alone: Way
  /** Shared databases; in each, the ways in take turns. */
  readonly shared: readonly (readonly Way[])[]
}

export interface Fuzz {
  readonly seed: string
  /** Statements, of all lanes together. */
  readonly queries: number
  readonly lanes: readonly Lane[]
  /** Gives every database the rows that a round begins with. */
  readonly reset: () => Promise<void>
  /** Called when nothing is under way. @returns what is wrong about what the tables hold, if anything is. */
  readonly checkpoint: () => Promise<string | undefined>
  /** Statements of all lanes between two checkpoints. */
  readonly between: number
  /** The round to begin with; every round begins with the same rows. */
  readonly firstRound?: number
}

export interface Fuzzed {
  readonly queries: number
  readonly failed: number
  /** Everything that is needed to see it again. */
  readonly failure: string | undefined
}

/** Lets every tenant do random work at the same time, and stops at the first difference. */
export async function fuzz({
  seed,
  queries,
  lanes,
  reset,
  checkpoint,
  between,
  firstRound = 0,
}: Fuzz): Promise<Fuzzed> {
  let done = 0
  let failed = 0
  for (let round = firstRound; done < queries; round++) {
    await reset()
    const share = Math.ceil(Math.min(between, queries - done) / lanes.length)
    const results = await Promise.all(lanes.map((lane) => work(`${seed}:${round}`, lane, share)))
    for (const result of results) {
      done += result.queries
      failed += result.failed
    }
    const broken = results.find(({ failure }) => failure !== undefined)?.failure
    const failure = broken ?? (await checkpoint())
    if (failure !== undefined) {
      return {
        queries: done,
        failed,
        failure: `FREEHOLD_FUZZ_SEED=${seed} FREEHOLD_FUZZ_ROUND=${round} shows it again: ${failure}`,
      }
    }
  }
  return { queries: done, failed, failure: undefined }
}

async function work(seed: string, lane: Lane, queries: number): Promise<Fuzzed> {
  let done = 0
  let failed = 0
  for (let number = 0; done < queries; number++) {
    const own = `${seed}:${lane.name}:${number}`
    const ways = [lane.alone, ...lane.shared.map((turns) => turns[number % turns.length] ?? lane.alone)]
    const [right = [], ...others] = await Promise.all(ways.map((way) => runScript(own, lane.tenant, way)))
    done += right.length
    failed += right.filter(({ result }) => result.startsWith('fails')).length
    for (const [index, outcomes] of others.entries()) {
      const failure = difference(right, outcomes, lane.foreign)
      if (failure) {
        const way = ways[index + 1]?.name
        return { queries: done, failed, failure: `${lane.name}, script ${number}, ${way}: ${failure}` }
      }
    }
  }
  return { queries: done, failed, failure: undefined }
}

function difference(
  right: readonly Outcome[],
  found: readonly Outcome[],
  foreign: TenantId,
): string | undefined {
  for (let index = 0; index < Math.max(right.length, found.length); index++) {
    const expected = right[index]
    const actual = found[index]
    const leaked = actual?.result.includes(foreign)
    if (!leaked && expected?.result === actual?.result) continue
    return [
      leaked ? "another tenant's row was read" : "another result than in the tenant's own database",
      `statement ${index}: ${actual?.sql}`,
      `parameters: ${JSON.stringify(actual?.parameters)}`,
      `result: ${actual?.result}`,
      `alone: ${expected?.sql}`,
      `parameters: ${JSON.stringify(expected?.parameters)}`,
      `result: ${expected?.result}`,
    ].join('\n')
  }
  return undefined
}
