import { FreeholdError } from '@freehold/contract'
import { isConnectionError, isRefusedConnection, withClient } from '@freehold/postgres'
import { readResident, unfence } from '../../database/resident.ts'
import { releaseResource } from '../../resources/release.ts'
import { closeSession, type Move, sourceScope } from '../move.ts'

/**
 * aborting: removes what the move has made and leaves the tenant as it was. A server that cannot be reached, or does not
 * let us in, does not keep the tenant from being moved again: what is left on it stays in the ledger, and the janitor removes it.
 */
export async function cleanUp(move: Move): Promise<'cleaned_up'> {
  await closeSession(move)
  const unreached = new Set<string>()
  await leaveSource(move)
  await move.barrier('aborting.left')
  for (const entry of await move.catalog.ledger.unreleased({ operationId: move.operation.id })) {
    const reached = await whenReachable(() =>
      releaseResource(move.catalog, entry, undefined, () => move.barrier('aborting.removed')),
    )
    if (!reached) unreached.add(entry.clusterId)
    await move.barrier('aborting.released')
  }
  move.session.unreached = [...unreached]
  return 'cleaned_up'
}

async function leaveSource(move: Move): Promise<void> {
  await whenReachable(() =>
    withClient(move.source.mover, 'freehold-cleanup', async (client) => {
      const resident = await readResident(client, sourceScope(move))
      if (resident?.state === 'sealed' || resident?.state === 'moved') {
        throw new FreeholdError('internal', 'The source is sealed: the move can only go forward.')
      }
      if (move.state.cutoverToken !== null) await unfence(client, sourceScope(move), move.state.cutoverToken)
    }),
  )
}

/** @returns whether it was. */
async function whenReachable(work: () => Promise<void>): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    if (!isConnectionError(error) && !isRefusedConnection(error)) throw error
    return false
  }
}
