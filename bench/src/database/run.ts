import { missingPgcopydb } from '../../../scripts/lib/prerequisites.ts'
import { prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { count, parseOptions } from '../moving/parse.ts'
import { seededTenant } from '../moving/seeded-tenant.ts'
import { timeMove } from '../moving/timed-move.ts'
import { note, print } from '../print.ts'
import { databaseReport, summarize } from './summary.ts'
import { cloneSeconds, type EngineMove, moveOn, settle } from './turns.ts'

const FULL = { rows: 200_000, rounds: 5 }
/** Enough to see that everything works; too short to tell anything. */
const QUICK = { rows: 2_000, rounds: 1 }

/** The newest version that Debian's pgcopydb copies from. */
const VERSION = 15

/**
 * Measures moves of a whole database between two servers beside `pgcopydb clone`, in turns, and prints what it found. Without
 * pgcopydb the engine is measured alone.
 *
 * @throws BadArguments, or an Error when a move or a clone failed or rows are missing.
 */
export async function runDatabaseBench(args: readonly string[], signal: AbortSignal): Promise<void> {
  const options = parseOptions(args, { rows: count(100, 10_000_000), rounds: count(1, 100) })
  const defaults = options.quick ? QUICK : FULL
  const { rows = defaults.rows, rounds = defaults.rounds } = options
  const missing = await missingPgcopydb()
  if (missing !== undefined) note(`${missing} The engine is measured alone.`)

  note('starting two servers')
  const ground = await prepareMovingGround({ versions: { us: VERSION, eu: VERSION } })
  try {
    note(`loading ${rows} rows, and moving them to a database of their own`)
    const tenant = await seededTenant(ground, 'whole', rows)
    await timeMove(ground, tenant, {}, signal, 'eu')
    const engine: EngineMove[] = []
    const pgcopydb: number[] = []
    const turns = [
      async () => engine.push(await moveOn(ground, tenant, signal)),
      ...(missing === undefined
        ? [async () => pgcopydb.push(await cloneSeconds(ground, tenant, signal))]
        : []),
    ]
    // One turn each to warm up; the order changes from round to round.
    for (let round = options.quick ? 0 : -1; round < rounds; round++) {
      note(round < 0 ? 'warming up' : `round ${round + 1} of ${rounds}`)
      for (const turn of round % 2 === 0 ? turns : turns.toReversed()) {
        signal.throwIfAborted()
        await settle(ground, tenant)
        await turn()
      }
    }
    for (const all of [engine, pgcopydb]) all.splice(0, all.length - rounds)
    const summary = summarize({ rows, engine, pgcopydb })
    print(databaseReport(summary))
    if (options.json) print(JSON.stringify(summary))
  } finally {
    await ground.remove()
  }
}
