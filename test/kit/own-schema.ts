import { epochSchema, type Tenant } from '@freehold/contract'
import { admitResident } from '@freehold/engine'
import { deriveEntryKey, withClient } from '@freehold/postgres'
import { createTenantSchema } from '../../packages/engine/src/resources/tenant-schema.ts'
import { asSuperuser, migrationsFolder } from './databases.ts'
import { type MovingGround, TEST_ENTRY_SECRET } from './moving-ground.ts'

/** Puts a tenant of the pool, with its rows, into a schema of its own there. */
export async function giveOwnSchema(ground: MovingGround, tenant: Tenant, schema: string): Promise<Tenant> {
  await withClient(ground.us.as('freehold_owner', 'pool'), 'test', (client) =>
    createTenantSchema(client, schema, migrationsFolder('product')),
  )
  await withClient(asSuperuser(ground.us.cluster, 'pool'), 'test', async (client) => {
    await client.query("select set_config('session_replication_role', 'replica', false)")
    // By way of text, because a schema has types of its own.
    const tables = await client.query<{ name: string; columns: string; values: string }>(
      `select relname as name, string_agg(quote_ident(attname), ', ') as columns,
         string_agg(format('%I::text::%s', attname, format_type(atttypid, atttypmod)), ', ') as values
       from freehold.managed_table join pg_class on pg_class.oid = relation join pg_attribute on attrelid = relation
       where kind = 'tenant' and relnamespace = quote_ident($1)::regnamespace
         and attnum > 0 and not attisdropped and attgenerated = ''
       group by relname`,
      [schema],
    )
    const own = client.escapeIdentifier(schema)
    for (const { name, columns, values } of tables.rows) {
      await client.query(
        `insert into ${own}.${name} (${columns}) overriding system value
         select ${values} from public.${name} where tenant_id = $1`,
        [tenant.id],
      )
      await client.query(`delete from public.${name} where tenant_id = $1`, [tenant.id])
    }
    await client.query('delete from freehold.resident where tenant_id = $1', [tenant.id])
  })
  const { dataDatabaseId, epoch } = tenant.placement
  const toEpoch = epochSchema.parse(epoch + 1)
  const entryKey = deriveEntryKey(TEST_ENTRY_SECRET, { tenantId: tenant.id, dataDatabaseId, epoch: toEpoch })
  await withClient(ground.us.as('freehold_mover', 'pool'), 'test', (client) =>
    admitResident(client, { tenantId: tenant.id, epoch: toEpoch, entryKey, schema }),
  )
  await ground.catalog.placements.switchHome({
    tenantId: tenant.id,
    fromEpoch: epoch,
    toEpoch,
    dataDatabaseId,
    isolation: 'schema',
    schema,
  })
  return ground.catalog.tenants.get(tenant.id)
}
