import { quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { DoctorSettings } from '../options.ts'
import { type FreeholdSchema, mayRead } from './freehold-schema.ts'
import type { Column, Rights, Table, TableKind } from './model.ts'

interface Managed {
  readonly kind: 'tenant' | 'reference'
  readonly tenantColumn: string | null
}

/** What freehold.managed_table declares, by table. Empty without the schema `freehold`, or one that is not Freehold's. */
export async function readManaged(
  client: ClientBase,
  freehold: FreeholdSchema | null,
): Promise<Map<number, Managed>> {
  if (!freehold || !(await mayRead(client, freehold, 'managed_table'))) return new Map()
  // No cast to text: whoever owns a type may have made one.
  const { rows } = await client.query<{ oid: number; kind: Managed['kind']; column: string | null }>(
    `select relation::oid as oid, kind, tenant_column as column from freehold.managed_table`,
  )
  return new Map(rows.map((row) => [row.oid, { kind: row.kind, tenantColumn: row.column }]))
}

interface TableRow {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly relkind: string
  readonly root: number | null
  readonly owner: string
  readonly owner_bypasses: boolean
  readonly rls: boolean
  readonly forced: boolean
  readonly rights: string[]
  readonly public_rights: boolean
  readonly insert_triggers: boolean
}

/** Schemas that anybody but PostgreSQL itself has put something into. */
export const NOT_OF_POSTGRES = `namespace.nspname !~ '^pg_' and namespace.nspname <> 'information_schema'`

/** Schemas of products. Those of extensions hold objects that belong to the extension. */
export const FOREIGN_SCHEMAS = `namespace.nspname !~ '^pg_' and namespace.nspname not in
  ('information_schema', 'freehold', 'freehold_migrations')`

/** A condition: the relation was not made by an extension. */
export const notOfExtension = (oid: string, catalog: string) =>
  `not exists (select from pg_depend extension_part where extension_part.classid = '${catalog}'::regclass
     and extension_part.objid = ${oid} and extension_part.deptype = 'e')`

/** Reads every table in scope, with its columns and what the application's role may do with it. */
export async function readTables(
  client: ClientBase,
  settings: DoctorSettings,
  appRole: string,
  tenantColumn: string,
  managed: ReadonlyMap<number, Managed>,
): Promise<Table[]> {
  const { rows } = await client.query<TableRow>(
    `select class.oid, namespace.nspname as schema, class.relname as name, class.relkind::text,
       case when class.relispartition then pg_partition_root(class.oid)::oid end as root,
       owner.rolname as owner, owner.rolsuper or owner.rolbypassrls as owner_bypasses,
       class.relrowsecurity as rls, class.relforcerowsecurity as forced,
       (select coalesce(array_agg(privilege), '{}') from unnest($1::text[]) privilege
         where has_table_privilege($2, class.oid, privilege)
           or privilege in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
             and has_any_column_privilege($2, class.oid, privilege)) as rights,
       exists (select from aclexplode(class.relacl) right_ where right_.grantee = 0) as public_rights,
       exists (select from pg_trigger where tgrelid = class.oid and not tgisinternal and tgtype & 4 <> 0
         and tgenabled <> 'D') as insert_triggers
     from pg_class class
     join pg_namespace namespace on namespace.oid = class.relnamespace
     join pg_roles owner on owner.oid = class.relowner
     where class.relkind in ('r', 'p') and class.relpersistence <> 't' and ${FOREIGN_SCHEMAS}
       and (cardinality($3::text[]) = 0 or namespace.nspname = any ($3))
       and ${notOfExtension('class.oid', 'pg_class')}
     order by namespace.nspname, class.relname`,
    [RIGHTS.map(([privilege]) => privilege), appRole, settings.schemas],
  )
  const columns = await readColumns(client)
  const registries = await readRegistries(client, tenantColumn)
  const references = new Set(settings.referenceTables)
  return rows.map((row) => {
    const own = columns.get(row.oid) ?? []
    const declared = managed.get(row.oid) ?? (row.root === null ? undefined : managed.get(row.root))
    const column = declared?.tenantColumn ?? tenantColumn
    const isDeclared = references.has(row.name) || references.has(`${row.schema}.${row.name}`)
    const hasColumn = own.some(({ name }) => name === column)
    return {
      oid: row.oid,
      schema: row.schema,
      name: row.name,
      label: `${row.schema}.${row.name}`,
      sql: quoteTable(row),
      kind: kindOf(declared, isDeclared, hasColumn, registries.has(row.oid)),
      isManaged: declared !== undefined,
      isPartitioned: row.relkind === 'p',
      root: row.root,
      owner: row.owner,
      ownerBypassesRls: row.owner_bypasses,
      rlsEnabled: row.rls,
      rlsForced: row.forced,
      tenantColumn: hasColumn && declared?.kind !== 'reference' && !isDeclared ? column : null,
      columns: own,
      rights: rightsOf(row.rights),
      publicRights: row.public_rights,
      hasInsertTriggers: row.insert_triggers,
    }
  })
}

function kindOf(
  managed: Managed | undefined,
  isDeclared: boolean,
  hasColumn: boolean,
  isRegistry: boolean,
): TableKind {
  if (managed) return managed.kind
  if (isDeclared) return 'reference'
  if (hasColumn) return 'tenant'
  return isRegistry ? 'registry' : 'undeclared'
}

const RIGHTS = [
  ['SELECT', 'select'],
  ['INSERT', 'insert'],
  ['UPDATE', 'update'],
  ['DELETE', 'delete'],
  ['TRUNCATE', 'truncate'],
  ['REFERENCES', 'references'],
  ['TRIGGER', 'trigger'],
] as const

function rightsOf(granted: readonly string[]): Rights {
  const entries = RIGHTS.map(([privilege, right]) => [right, granted.includes(privilege)])
  return Object.fromEntries(entries) as Record<keyof Rights, boolean>
}

/** Tables to which a tenant column alone refers: the product's list of its tenants. */
async function readRegistries(client: ClientBase, tenantColumn: string): Promise<Set<number>> {
  const { rows } = await client.query<{ oid: number }>(
    `select distinct key.confrelid as oid
     from pg_constraint key
     join pg_attribute attribute on attribute.attrelid = key.conrelid and attribute.attnum = key.conkey[1]
     where key.contype = 'f' and cardinality(key.conkey) = 1 and attribute.attname = $1`,
    [tenantColumn],
  )
  return new Set(rows.map(({ oid }) => oid))
}

interface ColumnRow extends Omit<Column, 'typeKind' | 'enumLabels'> {
  readonly table: number
  readonly typtype: string
  readonly category: string
  readonly labels: string[]
}

async function readColumns(client: ClientBase): Promise<Map<number, Column[]>> {
  const { rows } = await client.query<ColumnRow>(
    `select attribute.attrelid as "table", attribute.attname as name,
       format_type(attribute.atttypid, attribute.atttypmod) as type,
       format_type(coalesce(nullif(type.typbasetype, 0), type.oid), null) as "baseType",
       coalesce(base.typtype, type.typtype)::text as typtype, type.typcategory::text as category,
       array(select label.enumlabel::text from pg_enum label
         where label.enumtypid = coalesce(base.oid, type.oid) order by label.enumsortorder) as labels,
       attribute.attnotnull or type.typnotnull as "notNull",
       case when attribute.attgenerated = '' then pg_get_expr(expression.adbin, expression.adrelid) end as default,
       attribute.attidentity = 'a' as "isIdentityAlways", attribute.attidentity <> '' as "isIdentity",
       attribute.attgenerated <> '' as "isGenerated"
     from pg_attribute attribute
     join pg_class class on class.oid = attribute.attrelid and class.relkind in ('r', 'p')
     join pg_namespace namespace on namespace.oid = class.relnamespace and ${FOREIGN_SCHEMAS}
     join pg_type type on type.oid = attribute.atttypid
     left join pg_type base on base.oid = type.typbasetype
     left join pg_attrdef expression on expression.adrelid = attribute.attrelid and expression.adnum = attribute.attnum
     where attribute.attnum > 0 and not attribute.attisdropped
     order by attribute.attrelid, attribute.attnum`,
  )
  const columns = new Map<number, Column[]>()
  for (const { table, typtype, category, labels, ...column } of rows) {
    const typeKind =
      typtype === 'e' ? 'enum' : category === 'A' ? 'array' : typtype === 'b' ? 'base' : 'other'
    const list = columns.get(table) ?? []
    list.push({ ...column, typeKind, enumLabels: labels })
    columns.set(table, list)
  }
  return columns
}
