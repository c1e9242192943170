import { FreeholdError, type OperationId, operationIdSchema } from '@freehold/contract'
import { z } from 'zod'
import type { CatalogDatabase } from './database.ts'
import { type Operation, readOperation } from './operations.ts'

/** A worker's right to advance an operation: who holds the newest token does. */
export interface Lease {
  readonly id: OperationId
  readonly token: number
}

export type LeasesCatalog = ReturnType<typeof createLeases>

/** Who works on what. All times are the database's: no two workers' clocks are ever compared. */
export function createLeases(database: CatalogDatabase) {
  return {
    /**
     * Takes an operation on which nobody works. The fencing token grows, so that whoever worked on it before
     * writes nothing any more.
     *
     * @returns the operation with the new token, or null when somebody's lease is alive or it has ended.
     */
    async claim(id: OperationId, owner: string, leaseMs: number): Promise<Operation | null> {
      return database.transaction(async (queries) => {
        const claimed = await queries.run(
          `update catalog.operations
           set fencing_token = fencing_token + 1, lease_owner = $2,
             lease_expires_at = clock_timestamp() + $3 * interval '1 millisecond'
           where id = $1 and finished_at is null
             and (lease_expires_at is null or lease_expires_at <= clock_timestamp())`,
          [id, owner, leaseMs],
        )
        return claimed === 1 ? readOperation(queries, id) : null
      })
    },

    /** @returns whether the lease is still held (if not, stop at once), and whether a cancel was asked for. */
    async renewLease(lease: Lease, leaseMs: number): Promise<{ held: boolean; cancelRequested: boolean }> {
      const renewed = await database.first(
        z.object({ cancelRequested: z.boolean() }),
        `update catalog.operations set lease_expires_at = clock_timestamp() + $3 * interval '1 millisecond'
         where id = $1 and fencing_token = $2 and lease_owner is not null and finished_at is null
         returning cancel_requested as "cancelRequested"`,
        [lease.id, lease.token, leaseMs],
      )
      return { held: renewed !== undefined, cancelRequested: renewed?.cancelRequested ?? false }
    },

    /**
     * Gives an operation back, to be taken up again after `runAfterMs`. Does nothing when the lease is lost.
     *
     * @param countAttempt whether this counts as a failed attempt; the count starts anew with every phase.
     */
    async release(lease: Lease, runAfterMs: number, countAttempt: boolean): Promise<void> {
      await database.run(
        `update catalog.operations
         set lease_owner = null, lease_expires_at = null, attempts = attempts + $4,
           run_after = clock_timestamp() + $3 * interval '1 millisecond'
         where id = $1 and fencing_token = $2 and finished_at is null`,
        [lease.id, lease.token, runAfterMs, countAttempt ? 1 : 0],
      )
    },

    /** Operations to be taken up now, those that wait longest first. */
    async due(limit: number): Promise<OperationId[]> {
      const found = await database.all(
        z.object({ id: operationIdSchema }),
        `select id from catalog.operations
         where finished_at is null and run_after <= clock_timestamp()
           and (lease_expires_at is null or lease_expires_at <= clock_timestamp())
         order by run_after limit $1`,
        [limit],
      )
      return found.map(({ id }) => id)
    },
  }
}

/** The answer to whoever writes with a token that is no longer the newest. */
export function leaseLost(lease: Lease): FreeholdError {
  return new FreeholdError(
    'lease_lost',
    `Token ${lease.token} of operation ${lease.id} is no longer valid.`,
    {
      details: { operation: lease.id },
    },
  )
}
