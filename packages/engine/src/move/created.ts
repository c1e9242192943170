import type { LedgerEntry } from '@freehold/catalog'
import { isFreeholdError } from '@freehold/contract'
import { releaseResource } from '../resources/release.ts'
import type { Move } from './move.ts'

/**
 * Called when recorded resources have been created. A worker whose lease was taken in between removes them again: its
 * successor may have ended the move already, and would not know of them.
 *
 * @throws FreeholdError `lease_lost`
 */
export async function confirmCreated(move: Move, entries: readonly LedgerEntry[]): Promise<void> {
  try {
    for (const entry of entries) await move.catalog.ledger.record(move.lease, entry)
  } catch (error) {
    if (isFreeholdError(error, 'lease_lost')) {
      for (const entry of entries) await releaseResource(move.catalog, entry)
    }
    throw error
  }
}
