import { FreeholdError, type OperationId, operationIdSchema } from '@freehold/contract'
import { z } from 'zod'
import type { CatalogDatabase, Queries } from './database.ts'
import type { Failure } from './operated-moves.ts'
import { type Operation, readOperation } from './operations.ts'

/** What has been asked of a move meanwhile. */
export interface Directions {
  readonly cancelRequested: boolean
  readonly paused: boolean
  /** Whether people let the switch begin now. */
  readonly maySwitch: boolean
}

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
     * writes nothing any more. A move that has not begun is taken only while both its clusters have room for it.
     *
     * @returns the operation with the new token, or null when somebody's lease is alive, it has ended or has to wait.
     */
    async claim(id: OperationId, owner: string, leaseMs: number): Promise<Operation | null> {
      return database.transaction(async (queries) => {
        await holdClusters(queries, id)
        const claimed = await queries.run(
          `update catalog.operations
           set fencing_token = fencing_token + 1, lease_owner = $2,
             lease_expires_at = clock_timestamp() + $3 * interval '1 millisecond'
           where id = $1 and finished_at is null
             and (lease_expires_at is null or lease_expires_at <= clock_timestamp())
             and (phase <> 'planned' or lease_owner is not null or cancel_requested or catalog.move_may_begin(id))`,
          [id, owner, leaseMs],
        )
        return claimed === 1 ? readOperation(queries, id) : null
      })
    },

    /**
     * @returns what has been asked of the operation meanwhile; undefined when the lease is not held any more: stop at
     * once.
     */
    async renewLease(lease: Lease, leaseMs: number): Promise<Directions | undefined> {
      return database.first(
        z.object({ cancelRequested: z.boolean(), paused: z.boolean(), maySwitch: z.boolean() }),
        `update catalog.operations set lease_expires_at = clock_timestamp() + $3 * interval '1 millisecond'
         where id = $1 and fencing_token = $2 and lease_owner is not null and finished_at is null
         returning cancel_requested as "cancelRequested", paused_at is not null as paused,
           catalog.may_switch(operations) as "maySwitch"`,
        [lease.id, lease.token, leaseMs],
      )
    },

    /**
     * Gives an operation back, to be taken up again after `runAfterMs`. Does nothing when the lease is lost.
     *
     * @param failure why the attempt failed; attempts that did not fail do not count. The count starts anew with every
     * phase, and when a server that was away is followed by something else or the other way round.
     */
    async release(lease: Lease, runAfterMs: number, failure?: Failure): Promise<void> {
      await database.run(
        `update catalog.operations
         set lease_owner = null, lease_expires_at = null, updated_at = clock_timestamp(),
           last_failure = jsonb_build_object('since', coalesce(last_failure -> 'since', to_jsonb(clock_timestamp())))
             || $4::jsonb,
           attempts = case
             when $4::jsonb is null then attempts
             when last_failure -> 'passing' <> $4::jsonb -> 'passing' then 1
             else attempts + 1 end,
           run_after = clock_timestamp() + $3 * interval '1 millisecond'
         where id = $1 and fencing_token = $2 and finished_at is null`,
        [lease.id, lease.token, runAfterMs, failure === undefined ? null : JSON.stringify(failure)],
      )
    },

    /**
     * Says until when whoever holds an operation waits, and why. Should that worker die, it is not taken up before then
     * either.
     *
     * @throws FreeholdError `lease_lost`
     */
    async postpone(lease: Lease, forMs: number, failure: Failure): Promise<void> {
      const postponed = await database.run(
        `update catalog.operations
         set last_failure = $4, run_after = clock_timestamp() + $3 * interval '1 millisecond',
           updated_at = clock_timestamp()
         where id = $1 and fencing_token = $2 and finished_at is null`,
        [lease.id, lease.token, forMs, JSON.stringify(failure)],
      )
      if (postponed === 0) throw leaseLost(lease)
    },

    /**
     * Gives an operation back until there is something to do: after `forMs`, when its rollback window closes, or at once
     * when it is to be rolled back. What had failed before counts no more. Does nothing when the lease is lost.
     */
    async rest(lease: Lease, forMs: number): Promise<void> {
      await database.run(
        `update catalog.operations
         set lease_owner = null, lease_expires_at = null, attempts = 0, last_failure = null,
           run_after = case when rollback_requested then clock_timestamp()
             else least(clock_timestamp() + $3 * interval '1 millisecond', window_closes_at) end
         where id = $1 and fencing_token = $2 and finished_at is null`,
        [lease.id, lease.token, forMs],
      )
    },

    /**
     * Operations to be taken up now: those that have begun, then those that can, in the order of their line. A paused
     * move that has begun is taken up as well: somebody has to keep its target in step.
     */
    async due(limit: number): Promise<OperationId[]> {
      const found = await database.all(
        z.object({ id: operationIdSchema }),
        `with first_in_line as (
           select operation_id as id, max(place) as place from catalog.move_line
           group by operation_id having bool_and(place <= free))
         select id from catalog.operations left join first_in_line using (id)
         where finished_at is null and run_after <= clock_timestamp()
           and (lease_expires_at is null or lease_expires_at <= clock_timestamp())
           and (phase <> 'planned' or lease_owner is not null or cancel_requested or place is not null)
         order by place nulls first, run_after limit $1`,
        [limit],
      )
      return found.map(({ id }) => id)
    },
  }
}

/**
 * Holds the rows of both clusters of a move that has not begun until the transaction ends: of two workers that count
 * what is under way there, the second counts what the first has begun.
 */
async function holdClusters(queries: Queries, id: OperationId): Promise<void> {
  await queries.run(
    `select from catalog.clusters
     where id in (select cluster_id from catalog.moves_on_clusters where operation_id = $1 and not begun)
     order by id for no key update`,
    [id],
  )
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
