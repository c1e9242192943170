import { type ClusterId, createTenantSchema, type Placement, type Tenant } from '@freehold/contract'
import { admitResident } from '@freehold/engine'
import { type DatabaseAddress, deriveEntryKey, hasSqlState, SQLSTATE, withClient } from '@freehold/postgres'
import { asSuperuser } from './databases.ts'
import { moveTraces } from './move-traces.ts'
import { type MovingGround, TEST_ENTRY_SECRET } from './moving-ground.ts'
import { patiently } from './patiently.ts'
import { tenantContent } from './tenant-content.ts'

type Place = Pick<Placement, 'cluster' | 'database' | 'schema'>

/** The database of a place, as the superuser. */
export function databaseOf(ground: MovingGround, { cluster, database }: Place): DatabaseAddress {
  return asSuperuser(on(ground, cluster).cluster, database)
}

/** Everything a tenant has at a place, by the tables' bare names. */
export async function contentAt(
  ground: MovingGround,
  tenantId: string,
  place: Place,
): Promise<Record<string, string[]>> {
  const content = await tenantContent(databaseOf(ground, place), tenantId)
  const prefix = place.schema === 'public' ? '' : `${place.schema}.`
  return Object.fromEntries(
    Object.entries(content)
      .filter(([name]) => (prefix === '' ? !name.includes('.') : name.startsWith(prefix)))
      .map(([name, rows]) => [name.slice(prefix.length), rows]),
  )
}

/** Whatever still speaks of a tenant at a place where it does not live: rows, a mark that lets anybody in, claims, schemas. */
export async function remainsOf(ground: MovingGround, tenantId: string, place: Place): Promise<unknown[]> {
  const catalogRemains = [
    ...(await patiently(() => ground.catalog.ledger.unreleased())),
    ...(await serverRemains(ground.us.cluster)),
    ...(await serverRemains(ground.eu.cluster)),
  ]
  try {
    const rows = Object.keys(await contentAt(ground, tenantId, place))
    const marks = await patiently(() =>
      withClient(databaseOf(ground, place), 'test', (client) =>
        client.query(
          `select 'mark' as what, state::text from freehold.resident
           where tenant_id = $1 and schema_name is not distinct from nullif($2, 'public') and state <> 'moved'
         union all select 'declared', schema_name from freehold.tenant_schema
           where not exists (select from freehold.resident where resident.schema_name = tenant_schema.schema_name)
         union all select 'undeclared', nspname from pg_namespace
           where nspname ~ '^t_' and not exists (select from freehold.tenant_schema where schema_name = nspname)
         union all select 'table', relation::oid::text from freehold.managed_table
           where not exists (select from pg_class where pg_class.oid = relation)
         union all select 'history', relname from pg_class
           where relnamespace = 'freehold_migrations'::regnamespace and relname ~ '^product_' and relkind = 'r'
             and (select count(*) from pg_class where relnamespace = 'freehold_migrations'::regnamespace
                  and relname ~ '^product_' and relkind = 'r') <> (select count(*) from freehold.tenant_schema)`,
          [tenantId, place.schema],
        ),
      ),
    )
    return [...rows, ...marks.rows, ...(await moveTraces(databaseOf(ground, place))), ...catalogRemains]
  } catch (error) {
    if (!hasSqlState(error, SQLSTATE.invalidCatalogName)) throw error
    return catalogRemains
  }
}

async function serverRemains(cluster: MovingGround['us']['cluster']): Promise<unknown[]> {
  return patiently(() =>
    withClient(asSuperuser(cluster, 'pool'), 'test', async (client) => [
      ...(await client.query('select slot_name from pg_replication_slots')).rows,
      ...(await moveTraces(asSuperuser(cluster, 'pool'))),
    ]),
  )
}

/** Another tenant in the pool of a region, with the same rows as a tenant of `us` but for the tenant's id. */
export async function copyOfTenant(
  ground: MovingGround,
  original: Tenant,
  region: 'us' | 'eu',
): Promise<Tenant> {
  const slug = `twin-${region}-of-${original.slug}`
  const server = ground[region]
  const { tenant } = await ground.catalog.tenants.create(
    createTenantSchema.parse({ slug, name: slug, region }),
    async (tenantId, { epoch, dataDatabaseId, database }) => {
      const entryKey = deriveEntryKey(TEST_ENTRY_SECRET, { tenantId, dataDatabaseId, epoch })
      await withClient(server.as('freehold_mover', database), 'test', (client) =>
        admitResident(client, { tenantId, epoch, entryKey }),
      )
    },
  )
  const content = await tenantContent(asSuperuser(ground.us.cluster, 'pool'), original.id)
  await withClient(asSuperuser(server.cluster, 'pool'), 'test', async (client) => {
    await client.query("set session_replication_role = 'replica'")
    for (const [table, rows] of Object.entries(content)) {
      const columns = await client.query<{ names: string }>(
        `select string_agg(quote_ident(attname), ', ') as names from pg_attribute
         where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''`,
        [table],
      )
      const names = columns.rows[0]?.names
      await client.query(
        `insert into ${table} (${names}) overriding system value
         select ${names} from unnest($1::jsonb[]) row, jsonb_populate_record(null::${table}, row || $2)`,
        [rows, { tenant_id: tenant.id }],
      )
    }
  })
  return tenant
}

function on(ground: MovingGround, cluster: ClusterId): MovingGround['us'] {
  return cluster.startsWith('us') ? ground.us : ground.eu
}
