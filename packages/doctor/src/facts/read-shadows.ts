import type { ClientBase } from 'pg'
import type { Shadow, Table } from './model.ts'
import { NOT_OF_POSTGRES, notOfExtension } from './read-tables.ts'

const NOBODY_DEPENDS = (catalog: string) => `not exists (select from pg_depend dependency
  where dependency.refclassid = '${catalog}'::regclass and dependency.refobjid = object.oid
    and dependency.deptype = 'n')`

const OBJECTS = `
  select 'function' as kind, object.oid, object.proowner as owner, object.pronamespace as schema,
    case object.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end || ' '
      || object.oid::regprocedure::text as label,
    ${NOBODY_DEPENDS('pg_proc')} as is_free
  from pg_proc object
  where object.proname in (select proname from pg_proc where pronamespace = 'pg_catalog'::regnamespace)
    and ${notOfExtension('object.oid', 'pg_proc')}
  union all
  select 'operator', object.oid, object.oprowner, object.oprnamespace,
    'operator ' || (pg_identify_object('pg_operator'::regclass, object.oid, 0)).identity,
    ${NOBODY_DEPENDS('pg_operator')}
  from pg_operator object
  where object.oprname in (select oprname from pg_operator where oprnamespace = 'pg_catalog'::regnamespace)
    and ${notOfExtension('object.oid', 'pg_operator')}
  union all
  select 'type', object.oid, object.typowner, object.typnamespace,
    case object.typtype when 'd' then 'domain ' else 'type ' end || format_type(object.oid, null),
    object.typtype <> 'c' and ${NOBODY_DEPENDS('pg_type')}
  from pg_type object
  where object.typname in (select typname from pg_type where typnamespace = 'pg_catalog'::regnamespace)
    and ${notOfExtension('object.oid', 'pg_type')}`

/**
 * Reads functions, operators and types that have the name of one of PostgreSQL's own and belong to somebody who owns
 * neither the database nor its tables: by a better match of the arguments they are found first.
 */
export async function readShadows(client: ClientBase, tables: readonly Table[]): Promise<Shadow[]> {
  const { rows } = await client.query<Shadow>(
    `select object.label, owner.rolname as owner,
       case when object.is_free then 'drop ' || object.label || ';' end as drop
     from (${OBJECTS}) object
     join pg_namespace namespace on namespace.oid = object.schema and ${NOT_OF_POSTGRES}
     join pg_roles owner on owner.oid = object.owner and not owner.rolsuper
     where object.owner <> (select datdba from pg_database where datname = current_database())
       and object.owner <> namespace.nspowner and owner.rolname <> all ($1)
     order by 1`,
    [[...new Set(tables.map((table) => table.owner))]],
  )
  return rows
}
