import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { AppRole } from './model.ts'
import { NOT_OF_POSTGRES } from './read-tables.ts'

type Attributes = Omit<AppRole, 'name' | 'sql' | 'memberships' | 'owns' | 'createsIn' | 'settings'>

/**
 * Reads what the application's role may do by itself and through other roles.
 *
 * @throws FreeholdError `config_invalid` when there is no such role.
 */
export async function readAppRole(client: ClientBase, name: string): Promise<AppRole> {
  const { rows } = await client.query<Attributes>(
    `select rolsuper as "isSuperuser", rolbypassrls as "bypassesRls", rolcreaterole as "createsRoles",
       rolcreatedb as "createsDatabases", rolreplication as replicates,
       (select datdba = pg_roles.oid from pg_database where datname = current_database()) as "ownsDatabase"
     from pg_roles where rolname = $1`,
    [name],
  )
  const attributes = rows[0]
  if (!attributes) throw new FreeholdError('config_invalid', `--app-role: there is no role ${name}.`)
  return {
    ...attributes,
    name,
    sql: quoteIdentifier(name),
    memberships: await readMemberships(client, name),
    owns: await readOwned(client, name),
    createsIn: await readCreatable(client, name),
    settings: await readSettings(client, name),
  }
}

/** Roles that it is a member of, and what is reached through each: row security passed by, tables owned, the server's files. */
async function readMemberships(client: ClientBase, name: string): Promise<AppRole['memberships']> {
  const { rows } = await client.query<{ role: string; reaches: string[] }>(
    `select direct.rolname as role, coalesce(array_agg(distinct reached.rolname || ' (' || reason || ')')
       filter (where reason is not null), '{}') as reaches
     from pg_auth_members membership
     join pg_roles direct on direct.oid = membership.roleid
     join pg_roles app on app.oid = membership.member and app.rolname = $1
     join pg_roles reached on pg_has_role(direct.oid, reached.oid, 'MEMBER')
     cross join lateral (select case
       when reached.rolsuper then 'superuser'
       when reached.rolbypassrls then 'bypasses row security'
       when reached.rolname in ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
         then 'reaches the files of the server'
       when reached.rolname in ('pg_read_all_data', 'pg_write_all_data', 'pg_maintain')
         then 'has rights on every table'
       when exists (select from pg_class class join pg_namespace namespace on namespace.oid = class.relnamespace
         where class.relowner = reached.oid and class.relkind in ('r', 'p') and ${NOT_OF_POSTGRES})
         then 'owns tables'
       end as reason) judged
     group by direct.rolname order by direct.rolname`,
    [name],
  )
  return rows
}

async function readOwned(client: ClientBase, name: string): Promise<AppRole['owns']> {
  const { rows } = await client.query<{ what: string; sql: string }>(
    `select case class.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
         else 'table' end || ' ' || namespace.nspname || '.' || class.relname as what,
       case class.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
         else 'table' end || ' ' || class.oid::regclass::text as sql
     from pg_class class
     join pg_namespace namespace on namespace.oid = class.relnamespace and ${NOT_OF_POSTGRES}
     join pg_roles owner on owner.oid = class.relowner and owner.rolname = $1
     where class.relkind in ('r', 'p', 'v', 'm', 'S')
       -- What a column owns goes with its table.
       and not exists (select from pg_depend part where part.classid = 'pg_class'::regclass
         and part.objid = class.oid and part.deptype in ('a', 'i') and part.refclassid = 'pg_class'::regclass)
     union all
     select 'schema ' || namespace.nspname, 'schema ' || quote_ident(namespace.nspname)
     from pg_namespace namespace join pg_roles owner on owner.oid = namespace.nspowner and owner.rolname = $1
     where ${NOT_OF_POSTGRES}
     order by 1`,
    [name],
  )
  return rows
}

async function readCreatable(client: ClientBase, name: string): Promise<string[]> {
  const { rows } = await client.query<{ schema: string }>(
    `select namespace.nspname as schema from pg_namespace namespace
     where ${NOT_OF_POSTGRES} and has_schema_privilege($1, namespace.oid, 'CREATE') order by 1`,
    [name],
  )
  return rows.map(({ schema }) => schema)
}

async function readSettings(client: ClientBase, name: string): Promise<AppRole['settings']> {
  const { rows } = await client.query<{ setting: string; for_database: boolean; for_role: boolean }>(
    `select unnest(setting.setconfig) as setting, setting.setdatabase <> 0 as for_database,
       setting.setrole <> 0 as for_role
     from pg_db_role_setting setting
     left join pg_roles role on role.oid = setting.setrole
     left join pg_database database on database.oid = setting.setdatabase
     where (role.rolname = $1 or setting.setrole = 0)
       and (setting.setdatabase = 0 or database.datname = current_database())`,
    [name],
  )
  return rows.map((row) => {
    const [setting = '', ...value] = row.setting.split('=')
    return {
      name: setting,
      value: value.join('='),
      isForDatabase: row.for_database,
      isForRole: row.for_role,
    }
  })
}
