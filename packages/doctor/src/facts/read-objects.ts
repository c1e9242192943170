import type { ClientBase } from 'pg'
import { FREEHOLD_MANIFEST } from './freehold-manifest.ts'
import type { DatabaseFunction, View } from './model.ts'
import { NOT_OF_POSTGRES, notOfExtension } from './read-tables.ts'

/** Reads views and materialized views, and the tables that each reads, also through other views. */
export async function readViews(client: ClientBase, appRole: string): Promise<View[]> {
  const { rows } = await client.query<View>(
    `with recursive reads (view, relation) as (
       select rule.ev_class, dependency.refobjid
       from pg_rewrite rule
       join pg_depend dependency on dependency.classid = 'pg_rewrite'::regclass and dependency.objid = rule.oid
         and dependency.refclassid = 'pg_class'::regclass and dependency.refobjid <> rule.ev_class
       union
       select reads.view, dependency.refobjid
       from reads
       join pg_rewrite rule on rule.ev_class = reads.relation and reads.relation <> all (array_remove(array[to_regclass('freehold.entered'), to_regclass('freehold.entered_to_write')], null))
       join pg_depend dependency on dependency.classid = 'pg_rewrite'::regclass and dependency.objid = rule.oid
         and dependency.refclassid = 'pg_class'::regclass and dependency.refobjid <> rule.ev_class
     )
     select namespace.nspname || '.' || class.relname as label, class.oid::regclass::text as sql,
       class.relkind = 'm' as "isMaterialized",
       coalesce(class.reloptions && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1',
         'security_invoker=yes'], false) as "isInvoker",
       owner.rolname as owner, owner.rolsuper or owner.rolbypassrls as "ownerBypassesRls",
       has_any_column_privilege($1, class.oid, 'SELECT, INSERT, UPDATE')
         or has_table_privilege($1, class.oid, 'DELETE') as "readableByApp",
       array(select attribute.attname::text from pg_attribute attribute
         where attribute.attrelid = class.oid and attribute.attnum > 0 order by attribute.attnum) as columns,
       array(select reads.relation from reads where reads.view = class.oid)::int8[]::text[] as reads,
       array(select guarded.relname::text from reads join pg_class guarded on guarded.oid = reads.relation
         join pg_namespace ours on ours.oid = guarded.relnamespace
         where reads.view = class.oid and ours.nspname = 'freehold' and guarded.relkind = 'r'
           and guarded.relname <> 'managed_table' order by 1) as "readsOfFreehold"
     from pg_class class
     join pg_namespace namespace on namespace.oid = class.relnamespace and ${NOT_OF_POSTGRES}
     join pg_roles owner on owner.oid = class.relowner
     where class.relkind in ('v', 'm') and ${notOfExtension('class.oid', 'pg_class')}
     order by 1`,
    [appRole],
  )
  return rows.map((row) => ({ ...row, reads: row.reads.map(Number) }))
}

/** Reads functions and procedures that somebody has made here. Freehold's own are compared with its migrations. */
export async function readFunctions(client: ClientBase, appRole: string): Promise<DatabaseFunction[]> {
  const { rows } = await client.query<DatabaseFunction>(
    `select namespace.nspname || '.' || function.proname || '(' || pg_get_function_identity_arguments(function.oid)
         || ')' as label,
       function.oid::regprocedure::text as sql, namespace.nspname as schema, owner.rolname as owner,
       owner.rolsuper or owner.rolbypassrls as "ownerBypassesRls", function.prosecdef as "isDefiner",
       function.proleakproof as "isLeakproof",
       function.prorettype in ('trigger'::regtype, 'event_trigger'::regtype) as "isTrigger",
       function.prokind = 'p' as "isProcedure",
       exists (select from unnest(function.proconfig) setting where setting like 'search_path=%') as "hasSearchPath",
       has_function_privilege($1, function.oid, 'EXECUTE')
         and has_schema_privilege($1, namespace.oid, 'USAGE') as "executableByApp"
     from pg_proc function
     join pg_namespace namespace on namespace.oid = function.pronamespace and ${NOT_OF_POSTGRES}
     join pg_roles owner on owner.oid = function.proowner
     where ${notOfExtension('function.oid', 'pg_proc')}
     order by 1`,
    [appRole],
  )
  return rows.filter((row) => !(`function ${row.sql}` in FREEHOLD_MANIFEST.objects))
}
