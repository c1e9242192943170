import type { LedgerEntry } from '@freehold/catalog'
import { inTransaction, withClient } from '@freehold/postgres'
import { connectionName } from '../database/former-connections.ts'
import { awaitReaders } from '../database/readers.ts'
import { expectResident, readResident } from '../database/resident.ts'
import { holdTarget } from '../database/target-claim.ts'
import { releaseResource } from '../resources/release.ts'
import { type Move, saveState, targetScope } from './move.ts'
import { takeTarget, targetClaim } from './take-target.ts'

/**
 * Begins the way back: the stream forward ends, and the old home expects the tenant. Each step is safe to run twice and by a slow
 * worker; what guards each stands in docs/protocol.md.
 *
 * @throws FreeholdError `source_busy` while a transaction from before the switch is open at the old home.
 */
export async function turnRound(move: Move): Promise<void> {
  if (move.state.turned) return
  await releaseStreams(move, move.state.streamAtSource)
  await move.barrier('soak.turned')
  const old = await targetScope(move)
  await withClient(old.mover, connectionName('turn', move.lease), async (client) => {
    await takeTarget(move, client)
    if ((await readResident(client, old)) !== undefined) return
    // Row security shows them the rows by the key of the epoch at which they entered.
    await awaitReaders(client, move.signal)
    await inTransaction(client, async () => {
      await holdTarget(client, targetClaim(move))
      await expectResident(client, old)
    })
    await move.barrier('soak.expected')
  })
  await saveState(move, { turned: true })
}

const STREAM_KINDS: readonly LedgerEntry['kind'][] = ['replication_slot', 'publication', 'change_triggers']

/** Removes the move's streams but the one that is named, and keeps the tenant's home. */
export async function releaseStreams(
  { catalog, operation, barrier }: Move,
  keep: string | null,
): Promise<void> {
  for (const entry of await catalog.ledger.unreleased({ operationId: operation.id })) {
    if (STREAM_KINDS.includes(entry.kind) && entry.name !== keep) {
      await releaseResource(catalog, entry, undefined, () => barrier('soak.removed'))
    }
  }
}
