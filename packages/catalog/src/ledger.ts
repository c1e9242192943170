import { clusterIdSchema, type OperationId, operationIdSchema } from '@freehold/contract'
import { z } from 'zod'
import type { CatalogDatabase } from './database.ts'
import { type Lease, leaseLost } from './leases.ts'

const ledgerRow = z.object({
  operationId: operationIdSchema,
  clusterId: clusterIdSchema,
  kind: z.enum(['database', 'schema', 'tenant_rows', 'publication', 'replication_slot', 'change_triggers']),
  databaseName: z.string(),
  name: z.string(),
})

/**
 * A resource that an operation creates outside the catalog. For a database `name` repeats `databaseName`; for a tenant's rows
 * in shared tables it is the tenant's id.
 */
export type LedgerEntry = Readonly<z.output<typeof ledgerRow>>

export type LedgerCatalog = ReturnType<typeof createLedger>

/** What operations have created, recorded before it exists, so that nothing is ever left behind (I6). */
export function createLedger(database: CatalogDatabase) {
  return {
    /**
     * Records a resource that the holder of the lease is about to create; safe to repeat.
     *
     * @throws FreeholdError `lease_lost`: it must not be created.
     */
    async record(lease: Lease, entry: LedgerEntry): Promise<void> {
      const values = [entry.clusterId, entry.kind, entry.databaseName, entry.name, entry.operationId]
      await database.run(
        `insert into catalog.cleanup_ledger (cluster_id, kind, database_name, name, operation_id)
         select $1, $2, $3, $4, id from catalog.operations
         where id = $5 and fencing_token = $6 and finished_at is null
         on conflict (cluster_id, kind, database_name, name) where released_at is null do nothing`,
        [...values, lease.token],
      )
      const owned = await database.first(
        z.object({}),
        `select from catalog.cleanup_ledger
         join catalog.operations on operations.id = operation_id and fencing_token = $6
         where cluster_id = $1 and cleanup_ledger.kind = $2 and database_name = $3 and name = $4
           and operation_id = $5 and released_at is null`,
        [...values, lease.token],
      )
      if (owned === undefined) throw leaseLost(lease)
    },

    /** Records that a resource is gone, or belongs to the tenant's home for good; safe to repeat. */
    async release(entry: LedgerEntry): Promise<void> {
      await database.run(
        `update catalog.cleanup_ledger set released_at = clock_timestamp()
         where cluster_id = $1 and kind = $2 and database_name = $3 and name = $4 and operation_id = $5
           and released_at is null`,
        [entry.clusterId, entry.kind, entry.databaseName, entry.name, entry.operationId],
      )
    },

    /** What is recorded and not released, newest first: the order in which it can be removed. */
    async unreleased(
      filter: { readonly operationId?: OperationId; readonly finishedOnly?: boolean } = {},
    ): Promise<LedgerEntry[]> {
      return database.all(
        ledgerRow,
        `select operation_id as "operationId", cluster_id as "clusterId", cleanup_ledger.kind,
           database_name as "databaseName", cleanup_ledger.name
         from catalog.cleanup_ledger join catalog.operations on operations.id = operation_id
         where released_at is null and ($1::uuid is null or operation_id = $1)
           and (not $2 or operations.finished_at is not null)
         order by recorded_at desc`,
        [filter.operationId ?? null, filter.finishedOnly ?? false],
      )
    },
  }
}
