import { moveTargetSchema, type Tenant } from '@freehold/contract'
import { missingPsql } from '../../../scripts/lib/prerequisites.ts'
import { type MovingGround, prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { count, parseOptions } from '../moving/parse.ts'
import { fillTargetPool, seededTenant, settlePools } from '../moving/seeded-tenant.ts'
import { note, print } from '../print.ts'
import { spawnTraffic } from '../traffic/spawn-traffic.ts'
import { type EngineCopy, engineCopy } from './engine-copy.ts'
import { type PsqlCopy, psqlCopy, psqlPoolCopy } from './psql-copy.ts'
import { moveReport } from './report.ts'
import { type MoveMeasurements, summarize } from './summary.ts'
import { wholeMove } from './whole-move.ts'

const FULL = { rows: 200_000, rounds: 5, moves: 5, warmUps: 1, neighbours: 10, neighbourRows: 10_000 }
/** The tables that others use, with the same number of their rows as at the source. */
const TO_POOL = moveTargetSchema.parse({ isolation: 'pool', region: 'eu' })
/** Enough to see that everything works; too short to tell anything. */
const QUICK = { rows: 2_000, rounds: 1, moves: 1, warmUps: 0, neighbours: 1, neighbourRows: 100 }

interface Plan {
  readonly rows: number
  readonly rounds: number
  readonly moves: number
  readonly warmUps: number
  readonly neighbours: number
  readonly neighbourRows: number
}

/**
 * Measures a move from a pool to a silo, and the copying into a pool, beside `psql COPY | psql COPY` on two servers of its own, and prints what it
 * found.
 *
 * @throws BadArguments, or an Error when psql is missing, a move failed or rows are missing.
 */
export async function runMoveBench(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { json, quick, rows, rounds } = parseOptions(args, {
    rows: count(100, 10_000_000),
    rounds: count(1, 100),
  })
  const missing = await missingPsql()
  if (missing !== undefined) throw new Error(missing)
  const defaults = quick ? QUICK : FULL
  const plan = {
    ...defaults,
    rows: rows ?? defaults.rows,
    rounds: rounds ?? defaults.rounds,
    moves: rounds ?? defaults.moves,
  }
  const summary = summarize(await measure(plan, signal))
  print(moveReport(summary))
  if (json) print(JSON.stringify(summary))
}

async function measure(plan: Plan, signal: AbortSignal): Promise<MoveMeasurements> {
  note('starting two servers')
  const ground = await prepareMovingGround()
  try {
    note(
      `loading ${plan.neighbours} neighbours with ${plan.neighbourRows} rows each, and one with ${plan.rows}`,
    )
    for (let number = 0; number < plan.neighbours; number++) {
      signal.throwIfAborted()
      await seededTenant(ground, `neighbour-${number}`, plan.neighbourRows)
    }
    await fillTargetPool(ground, plan.neighbours * plan.neighbourRows)
    const tenant = await seededTenant(ground, 'moving', plan.rows)
    await settlePools(ground)
    const copies = await measureCopies(ground, tenant, plan, signal)
    const moves = await measureMoves(ground, plan, signal)
    return { ...copies, moves }
  } finally {
    await ground.remove()
  }
}

/** In turns, in an order that rotates, after a turn each to warm up: noise falls on everybody. */
async function measureCopies(
  ground: MovingGround,
  tenant: Tenant,
  { rounds, warmUps }: Plan,
  signal: AbortSignal,
) {
  const psql: PsqlCopy[] = []
  const one: EngineCopy[] = []
  const two: EngineCopy[] = []
  const psqlPool: Pick<PsqlCopy, 'seconds' | 'rows'>[] = []
  const pool: EngineCopy[] = []
  const turns = [
    async () => psql.push(await psqlCopy(ground, tenant, signal)),
    async () => one.push(await engineCopy(ground, tenant, 1, signal)),
    async () => two.push(await engineCopy(ground, tenant, 2, signal)),
    async () => psqlPool.push(await psqlPoolCopy(ground, tenant, signal)),
    async () => pool.push(await engineCopy(ground, tenant, 1, signal, TO_POOL)),
  ]
  for (let round = -warmUps; round < rounds; round++) {
    note(round < 0 ? 'warming up' : `copying, round ${round + 1} of ${rounds}`)
    const first = (round + turns.length) % turns.length
    for (const turn of [...turns.slice(first), ...turns.slice(0, first)]) {
      signal.throwIfAborted()
      await settlePools(ground)
      await turn()
    }
  }
  for (const all of [psql, one, two, psqlPool, pool]) all.splice(0, warmUps)
  const counts = new Set([...psql, ...one, ...two, ...psqlPool, ...pool].map(({ rows }) => rows))
  if (counts.size !== 1) throw new Error(`not everybody has copied the same rows: ${[...counts].join(', ')}`)
  return { psql, one, two, psqlPool, pool }
}

/** A move is for good, so each has a tenant of its own. */
async function measureMoves(ground: MovingGround, plan: Plan, signal: AbortSignal) {
  const traffic = spawnTraffic()
  try {
    const moves = []
    for (let number = 0; number < plan.moves; number++) {
      note(`moving under traffic, ${number + 1} of ${plan.moves}`)
      const tenant = await seededTenant(ground, `moving-${number}`, plan.rows)
      await settlePools(ground)
      moves.push(await wholeMove(ground, traffic, tenant, signal))
    }
    return moves
  } finally {
    await traffic.close()
  }
}
