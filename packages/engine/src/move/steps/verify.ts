import { FreeholdError } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import type pg from 'pg'
import { type Comparison, isEqual, verificationFailed } from '../../database/checksum.ts'
import { schemaFingerprint } from '../../database/schema-fingerprint.ts'
import { placementOf } from '../../placements/placement-of.ts'
import type { Applier } from '../../stream/change-stream.ts'
import { moveTables, runningApplier } from '../applier-session.ts'
import { compareTables } from '../compare.ts'
import { type Move, saveState, sourceScope, targetScope } from '../move.ts'
import { requireSameSchema } from '../same-schema.ts'

const MAX_VERIFICATIONS = 10
const CATCH_UP_TIMEOUT_MS = 600_000

/**
 * verify: compares every row of the tenant on both sides at one point. The applier brings the target to exactly one
 * state of the source and waits while both databases compute their checksums. Writers of the source notice nothing.
 */
export async function verify(move: Move): Promise<'verified'> {
  await countVerification(move)
  const started = performance.now()
  const applier = await runningApplier(move)
  const comparisons = await withClient(move.source.mover, 'freehold-verify', async (source) => {
    move.session.verifiedSchema = await schemaFingerprint(source, move.source.schema)
    await requireSameSchema(move, await moveTables(move))
    await applier.drain(CATCH_UP_TIMEOUT_MS)
    move.signal.throwIfAborted()
    return compareAtOnePoint(move, applier, source)
  })
  const different = comparisons.filter((comparison) => !isEqual(comparison))
  move.progress.update({
    verification: {
      tables: comparisons.length,
      rows: comparisons.reduce((sum, { source }) => sum + source.rows, 0),
      mismatches: different.length,
      at: new Date().toISOString(),
    },
  })
  move.progress.updateSeconds({ verify: (performance.now() - started) / 1000 })
  if (different[0] !== undefined) throw verificationFailed(different[0])
  move.session.verifiedBy = applier
  return 'verified'
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

async function compareAtOnePoint(move: Move, applier: Applier, source: pg.Client): Promise<Comparison[]> {
  const scope = await targetScope(move)
  const tables = await moveTables(move)
  const patience = { timeoutMs: move.settings.slotTimeoutMs, signal: move.signal }
  return applier.atOnePoint(patience, async (snapshot) => {
    const comparisons = await withClient(scope.mover, 'freehold-verify', (target) =>
      compareTables(
        { client: source, scope: sourceScope(move), snapshot },
        { client: target, scope },
        tables,
      ),
    )
    await placementOf(move.target.isolation).inspect(move, tables)
    return comparisons
  })
}
