import { createHash } from 'node:crypto'
import { FreeholdError } from '@freehold/contract'
import { inTransaction, migrate, quoteIdentifier } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { forgetVanishedTables } from './vanished-tables.ts'

/** Whether the database has this schema as a tenant's own. */
export async function hasTenantSchema(client: ClientBase, name: string): Promise<boolean> {
  const found = await client.query('select from freehold.tenant_schema where schema_name = $1', [name])
  return found.rowCount === 1
}

/**
 * Makes a schema for one tenant, with the product's tables at the current schema in it. Safe to run twice.
 *
 * @param owner connected as freehold_owner to a pool, for this alone: the search path stays what it becomes here.
 * @param product the folder of the product's migrations. They must name the product's objects without a schema.
 */
export async function createTenantSchema(owner: ClientBase, name: string, product: string): Promise<void> {
  if (!(await hasTenantSchema(owner, name))) {
    await owner.query('select freehold.create_tenant_schema($1)', [name])
  }
  await owner.query("select set_config('search_path', quote_ident($1) || ', public', false)", [name])
  await migrate(owner, product, schemaHistory(name))
  await forgetVanishedTables(owner)
}

/**
 * Removes a tenant's own schema with everything in it, and the mark of the tenant that nobody can enter there any more or
 * yet; all of it or nothing. Safe to run twice.
 *
 * @param owner connected as the owner of the schema.
 * @throws FreeholdError `internal` when the mark says that the tenant lives there: nothing is removed.
 */
export async function dropTenantSchema(owner: ClientBase, name: string): Promise<void> {
  await inTransaction(owner, async () => {
    if (!(await hasTenantSchema(owner, name))) return
    await owner.query(
      "delete from freehold.resident where schema_name = $1 and state in ('standby', 'moved')",
      [name],
    )
    const lived = await owner.query('select from freehold.resident where schema_name = $1 for update', [name])
    if (lived.rowCount !== 0) {
      throw new FreeholdError('internal', `A tenant lives in schema ${name}; nothing was removed.`)
    }
    await owner.query(`drop schema ${quoteIdentifier(name)} cascade`)
    // The declarations name the tables by object id, and would outlive them.
    await forgetVanishedTables(owner)
    await owner.query('delete from freehold.tenant_schema where schema_name = $1', [name])
    await owner.query(`drop table if exists freehold_migrations.${quoteIdentifier(schemaHistory(name))}`)
  })
}

/** Names the history of the product's migrations there. A digest, because two long names could be cut off to one. */
function schemaHistory(schema: string): string {
  return `product_${createHash('sha256').update(schema).digest('hex').slice(0, 32)}`
}
