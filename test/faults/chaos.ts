// `npm run chaos`: see `chaos-arguments.ts` for what it does and takes.
import { randomInt } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ChangeStreamChoice } from '@freehold/contract'
import {
  abortOnInterruption,
  CLEAN_UP_PATIENCE_MS,
  INTERRUPTED_STATUS,
  Interruption,
  parseOptions,
} from '../kit/interruption.ts'
import { prepareMovingGround } from '../kit/moving-ground.ts'
import { allLegs, narrowed, travel } from '../moves/pairs.ts'
import {
  everySchemaChange,
  nameOfCase,
  prepareChangingGround,
  type SchemaChangeCase,
} from '../moves/schema-changes.ts'
import { MATRIX_STREAMS, readArguments, USAGE } from './chaos-arguments.ts'
import { type FaultGround, prepareFaultGround } from './fault-ground.ts'
import { faultSets } from './faults.ts'
import { runCase, type Strike, strikesOf } from './kill-matrix.ts'
import { runChaos } from './random-chaos.ts'
import { Grounds, runCases } from './run-cases.ts'
import { Tally } from './tally.ts'

const MAX_SEED = 0xffff_ffff
const DEFAULT_MINUTES = 10

const options = parseOptions(readArguments, USAGE)
const { jobs = 1, only = '', seed = randomInt(MAX_SEED) } = options
const grounds = new Grounds()
if (options.help) process.stdout.write(USAGE)
else await main()

async function main(): Promise<void> {
  const { signal, interrupted } = untilInterrupted()
  const compiled = await keepCompiled()
  try {
    const held = run(signal)
    // Interrupted, we do not wait for what is under way: it ends with the servers.
    held.catch(() => undefined)
    process.exitCode = (await Promise.race([held, interrupted])) ? 0 : 1
  } catch (error) {
    process.exitCode = error instanceof Interruption ? INTERRUPTED_STATUS : 1
    process.stderr.write(`${error instanceof Interruption ? 'Interrupted.' : explain(error)}\n`)
  } finally {
    setTimeout(() => process.exit(), CLEAN_UP_PATIENCE_MS).unref()
    await grounds.removeAll()
    await rm(compiled, { recursive: true })
  }
  // What was interrupted may still wait for something that does not come any more.
  process.exit()
}

/** Has the workers compile what they are made of once, and not each of them anew. @returns where that is kept. */
async function keepCompiled(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'freehold-compiled-'))
  process.env.NODE_COMPILE_CACHE ??= folder
  return folder
}

/** @returns whether every invariant held. */
function run(signal: AbortSignal): Promise<boolean> {
  if (options.pairs) return pairs(signal)
  if (options['schema-changes']) return schemaChanges(signal)
  return options.matrix ? matrix(signal) : chaos(signal)
}

function untilInterrupted(): { signal: AbortSignal; interrupted: Promise<never> } {
  const { signal } = abortOnInterruption()
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  interrupted.catch(() => undefined)
  return { signal, interrupted }
}

async function chaos(signal: AbortSignal): Promise<boolean> {
  const minutes = options.minutes ?? DEFAULT_MINUTES
  const again = command(`--minutes ${minutes} --seed ${seed}`)
  say(`seed ${seed}`)
  const [ground] = await grounds.open(prepareFaultGround)
  const { problems, ...total } = await runChaos(ground, {
    seed,
    durationMs: minutes * 60_000,
    tell: say,
    signal,
  }).catch((error: unknown) => {
    say(`again: ${again}`)
    throw error
  })
  for (const problem of problems) say(`WRONG  ${problem}`)
  say(
    `${total.rounds} rounds, ${total.moved} moves made and ${total.unmoved} not, ${total.writes} writes: ` +
      (problems.length === 0 ? 'every invariant held' : `an invariant did not hold; again: ${again}`),
  )
  return problems.length === 0
}

async function matrix(signal: AbortSignal): Promise<boolean> {
  const tally = new Tally(say)
  let longestMs = 0
  const { strikes = 1, 'in-turn': inTurn } = options
  const streams = options.by === undefined ? MATRIX_STREAMS : [options.by]
  const cases = faultSets(inTurn)
    .filter(({ name }) => (options.fault ?? name) === name)
    .flatMap(({ name, faults }) => strikesOf(faults, strikes).map((strikes) => ({ name, strikes })))
    .filter(({ strikes }) => options.at === undefined || strikes.some(({ at }) => at === options.at))
    .flatMap((each) => streams.map((by) => ({ ...each, by })))
  await runCases(grounds, {
    cases,
    jobs,
    signal,
    prepare: prepareFaultGround,
    async run(ground, { name, strikes: struckBy, by }) {
      const { what, problems, outageMs } = await struck(ground, struckBy, by)
      longestMs = Math.max(longestMs, outageMs)
      const which = `${inTurn ? ' --in-turn' : ''}${strikes === 1 ? '' : ` --strikes ${strikes}`}`
      tally.add(
        what,
        problems,
        command(`--matrix${which} --fault '${name}' --at ${struckBy[0]?.at} --by ${by}`),
      )
      return problems.length === 0
    },
  })
  return tally.end(`, longest outage ${Math.round(longestMs)} ms`)
}

interface Outcome {
  readonly what: string
  readonly problems: readonly string[]
  readonly outageMs: number
}

async function struck(
  ground: FaultGround,
  strikes: readonly Strike[],
  by: ChangeStreamChoice,
): Promise<Outcome> {
  const what = `${strikes.map(({ fault, at }) => `${fault.name} at ${at}`).join(', ')}, by ${by}`
  const log = () => ground.worker.log.map((line) => `worker: ${line}`)
  try {
    const { move, problems, acknowledged, failed, outageMs } = await runCase(ground, strikes, by)
    const figures = `${acknowledged} writes, ${failed} failed, longest outage ${Math.round(outageMs)} ms`
    const timeline = move.events.map(({ at, phase, message }) => `${at} ${phase}: ${message}`)
    return {
      what: `${what}: ${move.phase}, ${figures}`,
      problems: problems.length === 0 ? [] : [...problems, ...timeline, ...log()],
      outageMs,
    }
  } catch (error) {
    return { what, problems: [explain(error), ...log()], outageMs: 0 }
  }
}

async function pairs(signal: AbortSignal): Promise<boolean> {
  say(`seed ${seed}`)
  const tally = new Tally(say)
  const again = (what: string) => command(`--pairs --seed ${seed} --only '${what}'`)
  const trips = allLegs().flatMap((legs, index) => {
    const chosen = narrowed(legs, (what) => what.includes(only))
    return chosen.length === 0 ? [] : [{ number: index + 1, legs: chosen }]
  })
  await runCases(grounds, {
    cases: trips,
    jobs,
    signal,
    prepare: prepareMovingGround,
    async run(ground, { number, legs }) {
      const tell = (what: string, wrong: readonly string[]) => {
        signal.throwIfAborted()
        tally.add(what, wrong, again(what))
      }
      const problems = await travel(ground, `traveller-${number}`, legs, seed, tell).catch((error) => [
        explain(error),
      ])
      const what = `round trip ${number}: every acknowledged write is there, once, and no neighbour has changed`
      tally.add(what, problems, command(`--pairs --seed ${seed}`))
      return problems.length === 0
    },
  })
  return tally.end()
}

async function schemaChanges(signal: AbortSignal): Promise<boolean> {
  const tally = new Tally(say)
  await runCases(grounds, {
    cases: everySchemaChange().filter((which) => nameOfCase(which).includes(only)),
    jobs,
    signal,
    prepare: prepareChangingGround,
    async run(ground, which: SchemaChangeCase) {
      const what = nameOfCase(which)
      const problems = await ground.run(which).catch((error) => [explain(error)])
      tally.add(what, problems, command(`--schema-changes --only '${what}'`))
      return problems.length === 0
    },
  })
  return tally.end()
}

function command(args: string): string {
  return `npm run chaos -- ${args}`
}

function explain(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
