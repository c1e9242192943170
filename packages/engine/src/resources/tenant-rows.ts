import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError } from '@freehold/contract'
import { entryDigest, inTransaction } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { deleteRows } from '../database/delete-rows.ts'
import { forgetTarget, holdTarget, reclaimTarget, type TargetClaim } from '../database/target-claim.ts'

export interface ExpectedTenant {
  readonly tenantId: string
  /** The right to write there, of the move that has brought the rows. */
  readonly claim: TargetClaim
}

/** Rows that one transaction deletes. */
const BATCH_ROWS = 5_000

/**
 * Removes what a move has brought into shared tables, as the tenant and in batches, with the tenant's mark and the move's
 * claim; nothing, when it had brought nothing. Safe to run twice.
 *
 * @param mover connected as freehold_mover, for this alone.
 * @throws FreeholdError `internal` when the mark says that the tenant lives there, `lease_lost` when a newer lease has
 * claimed the target.
 */
export async function removeTenantRows(mover: ClientBase, expected: ExpectedTenant): Promise<void> {
  if (!(await reclaimTarget(mover, expected.claim))) return
  await removeExpectedTenant(mover, expected)
  await forgetTarget(mover, expected.claim)
}

/** As {@link removeTenantRows}, for whoever has claimed the target, and keeps it. */
export async function removeExpectedTenant(
  mover: ClientBase,
  { tenantId, claim }: ExpectedTenant,
): Promise<void> {
  await mover.query("set session_replication_role = 'replica'")
  const tables = await sharedTables(mover)
  // Until a whole pass finds nothing: what a product's rule does on a delete may put rows into another table.
  for (let deleted = 1; deleted > 0; ) {
    deleted = 0
    for (const table of tables) {
      for (let batch = 1; batch > 0; deleted += batch) {
        const started = performance.now()
        batch = await asExpected(mover, tenantId, claim, () => deleteRows(mover, table, BATCH_ROWS))
        // Others work in the pool: half of the time is theirs.
        if (batch === BATCH_ROWS) await sleep(performance.now() - started)
      }
    }
  }
  await inTransaction(mover, async () => {
    await holdTarget(mover, claim)
    await mover.query(
      "delete from freehold.resident where tenant_id = $1 and schema_name is null and state = 'standby'",
      [tenantId],
    )
  })
}

/**
 * Runs `work` as a tenant that is still expected, under a key that nobody else has and no secret is needed for: nobody enters
 * a tenant that is expected, and from here on nobody can by the key that the move has used.
 *
 * @returns what `work` returns; 0, without running it, when there is no mark, and so no row.
 */
async function asExpected(
  mover: ClientBase,
  tenantId: string,
  claim: TargetClaim,
  work: () => Promise<number>,
): Promise<number> {
  return inTransaction(mover, async () => {
    await holdTarget(mover, claim)
    const key = randomBytes(32).toString('hex')
    const marked = await mover.query<{ state: string }>(
      `update freehold.resident set entry_digest = case when state = 'standby' then $2 else entry_digest end
       where tenant_id = $1 and schema_name is null returning state`,
      [tenantId, entryDigest(key)],
    )
    const state = marked.rows[0]?.state
    if (state === undefined || state === 'moved') return 0
    if (state !== 'standby') {
      throw new FreeholdError('internal', `Tenant ${tenantId} lives in the pool; nothing was removed.`)
    }
    await mover.query("select set_config('freehold.entry', $1, true)", [key])
    return work()
  })
}

/** The tenant tables that are in nobody's schema. */
async function sharedTables(client: ClientBase): Promise<string[]> {
  const found = await client.query<{ table: string }>(
    `select format('%I.%I', nspname, relname) as table from freehold.managed_table
     join pg_class on pg_class.oid = relation join pg_namespace on pg_namespace.oid = relnamespace
     where kind = 'tenant' and not exists (select from freehold.tenant_schema where schema_name = nspname)
     order by 1`,
  )
  return found.rows.map(({ table }) => table)
}
