import { FreeholdError } from '@freehold/contract'
import { closeClient, connectClient } from '@freehold/postgres'
import type pg from 'pg'
import { allEnded } from '../../all-ended.ts'
import { type Comparison, isEqual, verificationFailed } from '../../database/checksum.ts'
import { asTenant } from '../../database/entered.ts'
import { batchesOf, type Piece } from '../../database/pieces.ts'
import { schemaFingerprint } from '../../database/schema-fingerprint.ts'
import { sourceReaders } from '../../database/source-readers.ts'
import type { TablePair } from '../../database/tables.ts'
import { placementOf } from '../../placements/placement-of.ts'
import type { Applier } from '../../stream/change-stream.ts'
import { orAborted, runningApplier } from '../applier-session.ts'
import { catchUp } from '../catch-up.ts'
import { type ComparedSide, comparePieces, locateDifferences } from '../compare.ts'
import { type Move, type Side, saveState, sourceScope, targetScope } from '../move.ts'
import { moveTables } from '../move-tables.ts'
import { bringReferencesInStep } from '../references.ts'
import { mayRepair, repair } from '../repair.ts'
import { requireSameSchema } from '../same-schema.ts'
import { tellRouters } from '../tell-routers.ts'

const MAX_VERIFICATIONS = 10

/**
 * verify: compares every row of the tenant on both sides. The applier brings the target to exactly one state of the source
 * and waits while both databases compute their checksums; a large tenant is compared in pieces, at several such points. Writers of the source notice nothing.
 * Rows that differ are repaired, if that was asked for, and everything is compared again.
 */
export async function verify(move: Move): Promise<'verified'> {
  let result: Verification
  do result = await verifyOnce(move)
  while (result === 'repeat')
  return result
}

/** `repeat`: what differed was repaired, or does not differ any more. */
type Verification = 'verified' | 'repeat'

async function verifyOnce(move: Move): Promise<Verification> {
  const started = performance.now()
  // Before the tables are checked: what changes in between differs from it at the switch.
  const [source, target] = await Promise.all([
    fingerprintOf(move, move.source),
    fingerprintOf(move, move.target),
  ])
  move.session.verifiedSchemas = { source, target }
  const applier = await checkedApplier(move)
  const result = await compareEverything(move, applier)
  move.progress.updateSeconds({ verify: (performance.now() - started) / 1000 })
  if (result === 'verified') move.session.verifiedBy = applier
  return result
}

const fingerprintOf = ({ connections }: Move, { mover, schema }: Side) =>
  connections.use(mover, (client) => schemaFingerprint(client, schema))

/** The move's applier, and tables that have just been checked: whoever starts an applier checks them. */
async function checkedApplier(move: Move): Promise<Applier> {
  if (move.session.applier !== undefined) await requireSameSchema(move)
  return runningApplier(move)
}

async function countVerification(move: Move): Promise<void> {
  const verifications = move.state.verifications + 1
  if (verifications > MAX_VERIFICATIONS) {
    throw new FreeholdError(
      'operation_retries_exhausted',
      `The tenant changes faster than it can be compared: given up after ${MAX_VERIFICATIONS} verifications.`,
    )
  }
  await saveState(move, { verifications })
}

/** What is yet to be compared, and what has been. */
interface Comparing {
  readonly left: Piece[][]
  readonly done: Comparison[]
}

/**
 * Compares everything, at as many points as it takes: no snapshot is looked at for much longer than one is allowed to be. What
 * changes after the first point is remembered, and compared again at the switch.
 */
async function compareEverything(move: Move, applier: Applier): Promise<Verification> {
  const tables = await moveTables(move)
  const comparing: Comparing = { left: await batches(move, tables), done: [] }
  for (let isNext = false; ; isNext = true) {
    const result = await atOnePoint(move, applier, isNext, (source) =>
      compareHere(move, source, comparing, tables),
    )
    if (result !== 'goes_on') return result
  }
}

function batches(move: Move, tables: readonly TablePair[]): Promise<Piece[][]> {
  const rows = new Map(move.progress.current.tables.map(({ table, rowsEstimated }) => [table, rowsEstimated]))
  const scope = sourceScope(move)
  return move.connections.use(scope.mover, (client) =>
    asTenant(client, scope, () =>
      batchesOf(client, tables, move.settings.verifyBatchRows, ({ source }) => rows.get(source.key) ?? 0),
    ),
  )
}

/** The source as it was at a point at which the target is held. */
type PointInTime = ComparedSide & { readonly client: pg.Client; readonly snapshot: string }

async function atOnePoint<T>(
  move: Move,
  applier: Applier,
  isNext: boolean,
  compare: (source: PointInTime) => Promise<T>,
): Promise<T> {
  const reader = connectClient(move.source.mover, sourceReaders(move.names.stream).verify)
  const turnMs = move.settings.catchUpTurnMs
  const caughtUp = orAborted(move, () =>
    catchUp(applier, { turnMs, mayStop: () => move.signal.aborted }),
  ).then(() => move.barrier('verify.caught_up'))
  const after = allEnded([caughtUp, reader])
  const patience = { timeoutMs: move.settings.slotTimeoutMs, signal: move.signal, after, isNext }
  try {
    return await applier.atOnePoint(patience, async (snapshot) => {
      // Not before: a server that is away for an hour would use all of them up.
      if (!isNext) await countVerification(move)
      await tellPassedOver(move, applier)
      await tellRouters(move)
      return compare({ client: await reader, scope: sourceScope(move), snapshot })
    })
  } finally {
    await reader.then(closeClient, () => undefined)
  }
}

/** Compares both sides, which are at one point: batch after batch, as long as that takes no longer than it may. */
async function compareHere(
  move: Move,
  source: PointInTime,
  { left, done }: Comparing,
  tables: readonly TablePair[],
): Promise<Verification | 'goes_on'> {
  const references = await bringReferencesInStep(move, source)
  if (references.rewritten && done.length > 0) return 'repeat'
  const scope = await targetScope(move)
  const located = await move.connections.use(scope.mover, async (client) => {
    const target = { client, scope }
    const compared: Comparison[] = []
    const until = performance.now() + move.settings.verifyPointMs
    do {
      move.signal.throwIfAborted()
      compared.push(...(await comparePieces(source, target, left.shift() ?? [])))
    } while (left.length > 0 && performance.now() < until)
    done.push(...compared)
    showResult(move, done, references)
    return locateDifferences(source, target, compared.filter(isDifferent))
  })
  const [first] = located
  // What a repair mends may be what a foreign key lacks: it is looked at when there is nothing to mend any more.
  if (first !== undefined && mayRepair(move)) {
    await repair(move, source.snapshot, located)
    return 'repeat'
  }
  if (first === undefined && left.length > 0) return 'goes_on'
  await placementOf(move.target.isolation).inspect(move, tables)
  if (first !== undefined) throw verificationFailed(first)
  return done.some(isDifferent) ? 'repeat' : 'verified'
}

const isDifferent = (comparison: Comparison) => !isEqual(comparison)

async function tellPassedOver({ catalog, lease }: Move, applier: Applier): Promise<void> {
  const counts = [...applier.takePassedOver()]
  if (counts.length === 0) return
  const which = counts.map(([table, count]) => `${table}: ${count}`).join(', ')
  await catalog.operations.addEvent(
    lease,
    `Changes from the source did not fit what the target has (changes by table: ${which}). Their rows are left to the verification.`,
  )
}

function showResult(
  move: Move,
  comparisons: readonly Comparison[],
  references: { readonly tables: number; readonly rows: number },
): void {
  move.progress.update({
    verification: {
      tables: new Set(comparisons.map(({ tables }) => tables)).size,
      rows: comparisons.reduce((sum, { source }) => sum + source.rows, 0),
      mismatches: comparisons.filter(isDifferent).length,
      at: new Date().toISOString(),
      changedSince: 0,
      references,
    },
  })
}
