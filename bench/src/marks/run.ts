import { count, parseOptions } from '../moving/parse.ts'
import { note, print } from '../print.ts'
import {
  type IsolationLevel,
  isolationLevels,
  type MarkKind,
  type MarksGround,
  markKinds,
  prepareMarks,
} from './ground.ts'
import { marksReport, type Round, summarize } from './summary.ts'

const FULL = { writes: 1_000, rounds: 30 }
/** Enough to see that everything works; too short to tell anything. */
const QUICK = { writes: 20, rounds: 2 }

/**
 * Measures what a write costs whose tenant's mark is new, was changed, or looks replaced, in turns, and prints what it found.
 *
 * @throws BadArguments, or an Error when rows are missing or a mark is not what it was made to be.
 */
export async function runMarksBench(args: readonly string[], signal: AbortSignal): Promise<void> {
  const options = parseOptions(args, { writes: count(1, 100_000), rounds: count(1, 1_000) })
  const defaults = options.quick ? QUICK : FULL
  const { writes = defaults.writes, rounds = defaults.rounds } = options
  note('starting a server')
  const ground = await prepareMarks()
  try {
    note('warming up')
    await takeTurns(ground, writes, 0, signal)
    note(`${rounds} rounds`)
    const measured: Round[] = []
    for (let round = 1; round <= rounds; round++)
      measured.push(await takeTurns(ground, writes, round, signal))
    await ground.check((rounds + 1) * isolationLevels.length * markKinds.length * writes)
    const summary = summarize({ writes, rounds: measured })
    print(marksReport(summary))
    if (options.json) print(JSON.stringify(summary))
  } finally {
    await ground.remove()
  }
}

/** A turn for each, in an order that rotates. @returns the microseconds of a transaction. */
async function takeTurns(
  ground: MarksGround,
  writes: number,
  round: number,
  signal: AbortSignal,
): Promise<Round> {
  const first = round % markKinds.length
  const order = [...markKinds.slice(first), ...markKinds.slice(0, first)]
  const inTurn = async (level: IsolationLevel) => {
    const taken: Partial<Record<MarkKind, number>> = {}
    for (const kind of order) {
      signal.throwIfAborted()
      taken[kind] = await ground.write(kind, level, writes)
    }
    return taken as Record<MarkKind, number>
  }
  return {
    'read committed': await inTurn('read committed'),
    'repeatable read': await inTurn('repeatable read'),
  }
}
