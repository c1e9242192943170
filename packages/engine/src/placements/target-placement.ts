import type { LedgerEntry } from '@freehold/catalog'
import { inTransaction } from '@freehold/postgres'
import type { LoadTables } from '../copy/load-tables.ts'
import { expectResident } from '../database/resident.ts'
import type { TablePair } from '../database/tables.ts'
import { holdTarget } from '../database/target-claim.ts'
import { type Move, targetScope } from '../move/move.ts'
import { takeTarget, targetClaim } from '../move/take-target.ts'

/** How rows get into the tables at the target, and what these lack meanwhile. */
export type LoadingPlace = Pick<LoadTables, 'into' | 'parts'>

/** What a move does differently depending on how the tenant is to be kept apart at its target. */
export interface TargetPlacement {
  /** What the ledger says of the target for as long as it belongs to the move and not to the tenant. */
  entry(move: Move): LedgerEntry
  /**
   * Makes the place that the tenant's rows are to be copied to, empty, with the tenant's mark there: `standby`. What an
   * earlier worker has copied, if it came so far, was read under a snapshot that is gone, and goes first. Safe to run twice.
   */
  provision(move: Move): Promise<void>
  /** Has the tables filled, and given back whatever they lack for it. */
  load(move: Move, fill: (place: LoadingPlace) => Promise<void>): Promise<void>
  /**
   * Looks, when the tenant's rows have been found equal, for what their comparison cannot show.
   *
   * @throws FreeholdError `verification_failed`
   */
  inspect(move: Move, tables: readonly TablePair[]): Promise<void>
}

/** Marks the tenant as coming. Only while the target is this worker's, so that a slow one marks nothing any more. */
export async function expectTenant(move: Move): Promise<void> {
  const scope = await targetScope(move)
  await move.connections.use(scope.mover, async (client) => {
    await takeTarget(move, client)
    await inTransaction(client, async () => {
      await holdTarget(client, targetClaim(move))
      await expectResident(client, scope)
    })
  })
  await move.barrier('provisioning.expected')
}
