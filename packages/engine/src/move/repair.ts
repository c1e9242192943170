import { closeClient, connectClient, inTransaction } from '@freehold/postgres'
import type pg from 'pg'
import { describeKinds, verificationFailed } from '../database/checksum.ts'
import { enterAsMover } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import { keyCollision } from '../database/key-collision.ts'
import { holdTarget, targetWriters } from '../database/target-claim.ts'
import type { Key } from '../stream/change-stream.ts'
import { PAGE_KEYS, RowCarrier } from '../stream/row-carrier.ts'
import { TableStatements } from '../stream/table-statements.ts'
import { inOneSnapshot, type LocatedDifference } from './compare.ts'
import { type Move, saveState, sourceScope, targetScope } from './move.ts'
import { targetClaim } from './take-target.ts'

/** Whether rows of the target that differ are to be rewritten: when that was asked for, and not twice. */
export function mayRepair({ operation, direction, state }: Move): boolean {
  return operation.repair && direction === 'forth' && state.repair !== 'done'
}

/**
 * Rewrites the rows that differ, and no others, as the snapshot of the source shows them. To be called while the applier
 * keeps the target at the state of that snapshot: so no change is on its way that is older than what is written here, and
 * every later one is applied on top of it. docs/protocol.md says more.
 *
 * @throws FreeholdError `verification_failed` when there are too many, or they are not what they were found to be;
 * `key_collision`; `lease_lost`. Nothing is changed then.
 */
export async function repair(
  move: Move,
  snapshot: string,
  differences: readonly LocatedDifference[],
): Promise<void> {
  for (const difference of differences) {
    if (difference.keys === undefined) throw verificationFailed(difference)
  }
  const which = differences
    .map(({ tables, kinds }) => `${tables.source.key}: ${kinds && describeKinds(kinds)}`)
    .join('; ')
  await saveState(move, { repair: 'begun' })
  await move.catalog.operations.addEvent(
    move.lease,
    `The target differs (rows by table: ${which}). They are rewritten from the source.`,
  )
  await move.barrier('verify.repair_begun')
  await rewrite(move, snapshot, differences)
  await move.barrier('verify.rewritten')
  const rows = differences.reduce((sum, { keys = [] }) => sum + keys.length, 0)
  await saveState(move, { repair: 'done' })
  await move.catalog.operations.addEvent(move.lease, `Rows of the target are repaired: ${which}.`)
  move.progress.update({ repairedRows: move.progress.current.repairedRows + rows })
  await move.barrier('verify.repaired')
}

async function rewrite(
  move: Move,
  snapshot: string,
  differences: readonly LocatedDifference[],
): Promise<void> {
  const to = await targetScope(move)
  const from = sourceScope(move)
  // Named so that a worker that takes the target over ends what this one has under way.
  const target = await connectClient(to.mover, targetWriters(move.names.stream).apply, { pipeline: true })
  const reader = await connectClient(from.mover, 'freehold-repair', { pipeline: true }).catch(
    async (error: unknown) => {
      await closeClient(target)
      throw error
    },
  )
  try {
    await useExactText(reader)
    await useExactText(target)
    // Triggers and foreign keys have had their effect at the source.
    await target.query("set session_replication_role = 'replica'")
    await inOneSnapshot({ client: reader, scope: from, snapshot }, () =>
      inTransaction(target, async () => {
        await holdTarget(target, targetClaim(move))
        await enterAsMover(target, to)
        await rewriteRows(reader, target, differences)
      }),
    )
  } catch (error) {
    throw keyCollision(error) ?? error
  } finally {
    await Promise.all([closeClient(reader), closeClient(target)])
  }
}

/** All rows go before the first comes back, because one may have what is unique of another. */
async function rewriteRows(
  reader: pg.Client,
  target: pg.Client,
  differences: readonly LocatedDifference[],
): Promise<void> {
  const found = differences.map((difference, index) => ({
    difference,
    statements: new TableStatements(difference.tables, index),
    pages: pagesOf(difference.keys ?? []),
  }))
  for (const { difference, statements, pages } of found) {
    const { extra = 0, changed = 0 } = difference.kinds ?? {}
    let removed = 0
    for (const page of pages) removed += (await target.query(statements.remove(page))).rowCount ?? 0
    if (removed !== extra + changed) throw verificationFailed(difference)
  }
  const carrier = new RowCarrier(reader, (row) => target.query(row))
  for (const { difference, statements, pages } of found) {
    const { missing = 0, changed = 0 } = difference.kinds ?? {}
    let carried = 0
    for (const page of pages) carried += await carrier.carry(statements, page)
    if (carried !== missing + changed) throw verificationFailed(difference)
  }
}

function pagesOf(keys: readonly Key[]): Key[][] {
  return Array.from({ length: Math.ceil(keys.length / PAGE_KEYS) }, (_, page) =>
    keys.slice(page * PAGE_KEYS, (page + 1) * PAGE_KEYS),
  )
}
