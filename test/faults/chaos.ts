// `npm run chaos`: see `chaos-arguments.ts` for what it does and takes.
import { randomInt } from 'node:crypto'
import {
  abortOnInterruption,
  CLEAN_UP_PATIENCE_MS,
  INTERRUPTED_STATUS,
  Interruption,
  parseOptions,
} from '../kit/interruption.ts'
import { type MovingGround, prepareMovingGround } from '../kit/moving-ground.ts'
import { allLegs, travel } from '../moves/pairs.ts'
import { type ChangingGround, everySchemaChange, prepareChangingGround } from '../moves/schema-changes.ts'
import { type Barrier, barrierNames, criticalBarriers } from './barriers.ts'
import { readArguments, USAGE } from './chaos-arguments.ts'
import { type FaultGround, prepareFaultGround } from './fault-ground.ts'
import { faults } from './faults.ts'
import { runCase } from './kill-matrix.ts'
import { runChaos } from './random-chaos.ts'

const MAX_SEED = 0xffff_ffff
const DEFAULT_MINUTES = 10

const options = parseOptions(readArguments, USAGE)
if (options.help) process.stdout.write(USAGE)
else await main()

async function main(): Promise<void> {
  const { signal, interrupted } = untilInterrupted()
  let run: Run | undefined
  try {
    run = await begin(signal)
    // Interrupted, we do not wait for what is under way: it ends with the servers.
    run.held.catch(() => undefined)
    process.exitCode = (await Promise.race([run.held, interrupted])) ? 0 : 1
  } catch (error) {
    process.exitCode = error instanceof Interruption ? INTERRUPTED_STATUS : 1
    process.stderr.write(`${error instanceof Interruption ? 'Interrupted.' : explain(error)}\n`)
  } finally {
    setTimeout(() => process.exit(), CLEAN_UP_PATIENCE_MS).unref()
    await run?.ground.remove()
  }
  // What was interrupted may still wait for something that does not come any more.
  process.exit()
}

interface Run {
  readonly ground: { remove(): Promise<void> }
  /** Whether every invariant held. */
  readonly held: Promise<boolean>
}

async function begin(signal: AbortSignal): Promise<Run> {
  if (options.pairs) {
    const ground = await prepareMovingGround()
    return { ground, held: pairs(ground, signal) }
  }
  if (options['schema-changes']) {
    const ground = await prepareChangingGround()
    return { ground, held: changes(ground, signal) }
  }
  const ground = await prepareFaultGround()
  return { ground, held: options.matrix ? matrix(ground, signal) : chaos(ground, signal) }
}

function untilInterrupted(): { signal: AbortSignal; interrupted: Promise<never> } {
  const { signal } = abortOnInterruption()
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  interrupted.catch(() => undefined)
  return { signal, interrupted }
}

/** @returns whether every invariant held. */
async function chaos(ground: FaultGround, signal: AbortSignal): Promise<boolean> {
  const seed = options.seed ?? randomInt(MAX_SEED)
  say(`seed ${seed}`)
  const durationMs = (options.minutes ?? DEFAULT_MINUTES) * 60_000
  const { problems, ...total } = await runChaos(ground, { seed, durationMs, tell: say, signal })
  for (const problem of problems) say(`WRONG  ${problem}`)
  say(
    `${total.rounds} rounds, ${total.moved} moves made and ${total.unmoved} not, ${total.writes} writes: ` +
      (problems.length === 0 ? 'every invariant held' : `an invariant did not hold (--seed ${seed})`),
  )
  return problems.length === 0
}

/** @returns whether every invariant held. */
async function matrix(ground: FaultGround, signal: AbortSignal): Promise<boolean> {
  let wrong = 0
  let longestMs = 0
  const cases = faults.flatMap((fault) =>
    placesOf(fault.lasting).flatMap((at) =>
      (options.fault ?? fault.name) === fault.name && (options.at ?? at) === at ? [{ fault, at }] : [],
    ),
  )
  for (const strike of cases) {
    signal.throwIfAborted()
    const { move, problems, acknowledged, failed, outageMs } = await runCase(ground, [strike])
    longestMs = Math.max(longestMs, outageMs)
    const figures = `${acknowledged} writes, ${failed} failed, longest outage ${Math.round(outageMs)} ms`
    say(
      `${problems.length === 0 ? 'ok   ' : 'WRONG'}  ${strike.fault.name} at ${strike.at}: ${move.phase}, ${figures}`,
    )
    if (problems.length === 0) continue
    wrong++
    for (const problem of problems) say(`         ${problem}`)
    for (const { at, phase, message } of move.events) say(`         ${at} ${phase}: ${message}`)
    for (const line of ground.worker.log) say(`         worker: ${line}`)
  }
  say(
    `${cases.length - wrong} of ${cases.length} cases as they must be, longest outage ${Math.round(longestMs)} ms`,
  )
  return wrong === 0 && cases.length > 0
}

/** @returns whether every invariant held. */
async function pairs(ground: MovingGround, signal: AbortSignal): Promise<boolean> {
  const seed = options.seed ?? randomInt(MAX_SEED)
  say(`seed ${seed}`)
  const tally = new Tally(signal)
  for (const [index, legs] of allLegs().entries()) {
    const problems = await travel(ground, `traveller-${index}`, legs, seed, (what, wrong) =>
      tally.add(what, wrong),
    )
    tally.add(
      `round trip ${index + 1}: every acknowledged write is there, once, and no neighbour has changed`,
      problems,
    )
  }
  return tally.end()
}

/** @returns whether each ended as it must. */
async function changes(ground: ChangingGround, signal: AbortSignal): Promise<boolean> {
  const tally = new Tally(signal)
  for (const which of everySchemaChange()) {
    tally.add(`${which.name} at ${which.at}, by ${which.changeStream}`, await ground.run(which))
  }
  return tally.end()
}

/** Says of each case whether it is as it must be. */
class Tally {
  readonly #signal: AbortSignal
  #cases = 0
  #wrong = 0

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  add(what: string, problems: readonly string[]): void {
    this.#signal.throwIfAborted()
    this.#cases++
    if (problems.length > 0) this.#wrong++
    say(`${problems.length === 0 ? 'ok   ' : 'WRONG'}  ${what}`)
    for (const problem of problems) say(`         ${problem}`)
  }

  end(): boolean {
    say(`${this.#cases - this.#wrong} of ${this.#cases} as they must be`)
    return this.#wrong === 0
  }
}

/** Where nobody waits for an answer for long; elsewhere a connection that vanishes for good is the network's to end. */
function placesOf(lasting: boolean): readonly Barrier[] {
  return lasting ? criticalBarriers : barrierNames
}

function explain(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
