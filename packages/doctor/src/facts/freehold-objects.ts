import { createHash } from 'node:crypto'
import type { ClientBase } from 'pg'

/** Something that stands in one of Freehold's schemas. */
export interface FreeholdObject {
  /** `function freehold.lock_key(tenant text)`; tables in freehold_migrations are all of one shape and name. */
  readonly key: string
  readonly label: string
  readonly owner: string
  /** Of all that the server says about it, so that nothing about it changes unseen. */
  readonly digest: string
  /** The statement that makes it as it is, where it can be replaced. */
  readonly create: string | null
  readonly drop: string | null
}

/** A right on something in Freehold's schemas, of somebody else than its owner. */
export interface FreeholdGrant {
  /** `SELECT on table freehold.resident to freehold_mover`. */
  readonly key: string
  readonly label: string
  readonly revoke: string
}

/** What Freehold's migrations make: objects by key, and keys of rights. */
export interface FreeholdManifest {
  readonly objects: Readonly<Record<string, { readonly digest: string; readonly create: string | null }>>
  readonly grants: readonly string[]
}

interface Row {
  readonly schema: string
  readonly name: string
  readonly kind: string
  readonly identity: string
  readonly owner: string
  readonly definition: string
  /** Whether it is printed from what the server has parsed, and not as it was written. */
  readonly printed: boolean
  readonly create: string | null
}

const OURS = `namespace.nspname in ('freehold', 'freehold_migrations')`

/** What of a list of (catalog, object) refers to something that is neither PostgreSQL's nor Freehold's. */
const outside = (dependents: string) => `array(
  select distinct target.identity
  from (${dependents}) dependent (classid, objid)
  join pg_depend dependency on dependency.classid = dependent.classid and dependency.objid = dependent.objid
  cross join lateral pg_identify_object(dependency.refclassid, dependency.refobjid, 0) target
  where target.schema not in ('pg_catalog', 'freehold', 'freehold_migrations') order by 1)`

const RELATIONS = `
  select namespace.nspname as schema, class.relname as name,
    case class.relkind when 'r' then 'table' when 'p' then 'table' when 'v' then 'view'
      when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table' else 'type' end as kind,
    class.oid::regclass::text as identity, class.relowner::regrole::text as owner,
    json_build_array(class.relkind, class.relpersistence, class.relrowsecurity, class.relforcerowsecurity,
      array(select unnest(class.reloptions) order by 1),
      case when class.relkind in ('v', 'm') then pg_get_viewdef(class.oid) end,
      array(select json_build_array(attribute.attname, format_type(attribute.atttypid, attribute.atttypmod),
          attribute.attnotnull, attribute.attidentity, attribute.attgenerated, attribute.attcollation::regcollation::text,
          pg_get_expr(value.adbin, value.adrelid))::text
        from pg_attribute attribute
        left join pg_attrdef value on value.adrelid = attribute.attrelid and value.adnum = attribute.attnum
        where attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
        order by attribute.attnum),
      -- Servers before 18 do not keep NOT NULL as a constraint.
      array(select conname || ' ' || pg_get_constraintdef(oid) from pg_constraint
        where conrelid = class.oid and contype not in ('n', 't') order by 1),
      array(select pg_get_indexdef(indexrelid) from pg_index where indrelid = class.oid order by 1),
      array(select tgenabled::text || pg_get_triggerdef(oid) from pg_trigger
        where tgrelid = class.oid and not tgisinternal order by 1),
      array(select ev_enabled::text || pg_get_ruledef(oid) from pg_rewrite
        where ev_class = class.oid and rulename <> '_RETURN' order by 1),
      array(select polname || polcmd::text || coalesce(pg_get_expr(polqual, polrelid), '') from pg_policy
        where polrelid = class.oid order by 1),
      array(select inhrelid::regclass::text from pg_inherits where inhrelid = class.oid or inhparent = class.oid order by 1),
      ${outside(`select 'pg_rewrite'::regclass, oid from pg_rewrite where ev_class = class.oid
        union all select 'pg_attrdef'::regclass, oid from pg_attrdef where adrelid = class.oid
        union all select 'pg_constraint'::regclass, oid from pg_constraint where conrelid = class.oid
        union all select 'pg_trigger'::regclass, oid from pg_trigger where tgrelid = class.oid`)}
    )::text as definition, true as printed,
    case when class.relkind = 'v' then 'create or replace view ' || class.oid::regclass::text
      || case when class.reloptions is null then '' else ' with (' || array_to_string(class.reloptions, ', ') || ')' end
      || ' as ' || pg_get_viewdef(class.oid) end as create
  from pg_class class join pg_namespace namespace on namespace.oid = class.relnamespace
  where ${OURS} and class.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')`

const FUNCTIONS = `
  select namespace.nspname as schema, function.proname as name,
    case function.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end as kind,
    function.oid::regprocedure::text as identity, function.proowner::regrole::text as owner,
    json_build_array(function.prokind, language.lanname, function.prosrc, pg_get_function_sqlbody(function.oid),
      function.provolatile, function.proisstrict, function.prosecdef, function.proleakproof, function.proparallel,
      function.proconfig, function.prosupport::text, pg_get_function_arguments(function.oid),
      pg_get_function_result(function.oid),
      ${outside(`select 'pg_proc'::regclass, function.oid`)}
    )::text as definition, function.prosrc = '' as printed,
    case when function.prokind = 'f' then pg_get_functiondef(function.oid) end as create
  from pg_proc function
  join pg_namespace namespace on namespace.oid = function.pronamespace
  join pg_language language on language.oid = function.prolang
  where ${OURS}`

/** Types that are not the row of a table, nor the array of another type. */
const TYPES = `
  select namespace.nspname as schema, type.typname as name,
    case type.typtype when 'd' then 'domain' else 'type' end as kind,
    format_type(type.oid, null) as identity, type.typowner::regrole::text as owner,
    json_build_array(type.typtype, format_type(type.typbasetype, type.typtypmod),
      array(select enumlabel::text from pg_enum where enumtypid = type.oid order by enumsortorder))::text as definition,
    false as printed,
    null as create
  from pg_type type join pg_namespace namespace on namespace.oid = type.typnamespace
  where ${OURS} and type.typtype not in ('c', 'm') and type.typelem = 0`

const SCHEMAS = `
  select namespace.nspname as schema, namespace.nspname as name, 'schema' as kind,
    quote_ident(namespace.nspname) as identity, namespace.nspowner::regrole::text as owner, '' as definition, false as printed,
    null as create
  from pg_namespace namespace where ${OURS}`

/** Whatever else stands there, and casts of the types that do. */
const OTHERS = `
  select namespace.nspname as schema, coalesce(other.name, '') as name, other.type as kind, other.identity,
    '' as owner, '' as definition, false as printed, null as create
  from pg_namespace namespace
  join pg_depend dependency on dependency.refclassid = 'pg_namespace'::regclass and dependency.refobjid = namespace.oid
    and dependency.classid not in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
  cross join lateral pg_identify_object(dependency.classid, dependency.objid, 0) other
  where ${OURS}
  union all
  select namespace.nspname, '', other.type, other.identity, '', '', false, null
  from pg_cast
  join pg_type type on type.oid in (castsource, casttarget)
  join pg_namespace namespace on namespace.oid = type.typnamespace
  cross join lateral pg_identify_object('pg_cast'::regclass, pg_cast.oid, 0) other
  where ${OURS}`

/** Reads all that stands in Freehold's schemas. Nothing of it is called or selected from. */
export async function readFreeholdObjects(client: ClientBase): Promise<FreeholdObject[]> {
  const objects: FreeholdObject[] = []
  for (const query of [SCHEMAS, RELATIONS, FUNCTIONS, TYPES, OTHERS]) {
    const { rows } = await client.query<Row>(`${query} order by 1, 4`)
    objects.push(...rows.map(toObject))
  }
  return objects
}

function toObject({ schema, name, kind, identity, owner, definition, printed, create }: Row): FreeholdObject {
  const isHistory = schema === 'freehold_migrations' && kind === 'table'
  // Its constraints and indexes are named after it.
  const text = isHistory ? definition.replaceAll(name, '*') : definition
  const isDroppable =
    /^(table|view|materialized view|function|procedure|aggregate|type|domain|operator|cast)$/
  return {
    key: isHistory ? 'table freehold_migrations.*' : `${kind} ${identity}`,
    label: `${kind} ${identity}`,
    owner,
    digest: createHash('sha256')
      .update(printed ? normalized(text) : text)
      .digest('hex')
      .slice(0, 32),
    create: create === null ? null : `${create.trim().replace(/;$/, '')};`,
    drop: isDroppable.test(kind) ? `drop ${kind} ${identity};` : null,
  }
}

/**
 * The same whichever server prints it: until PostgreSQL 15 the columns of a view are qualified, later where there are
 * two tables. From which schema something is, `outside` holds.
 */
function normalized(definition: string): string {
  return definition
    .replaceAll(/\\n|\s+/g, ' ')
    .replaceAll(/\b(?!pg_catalog|freehold)[a-z_]+\.(?=[a-z_]+\b(?!\())/g, '')
}

/** Reads who but their owner has rights on Freehold's schemas and on what stands in them. */
export async function readFreeholdGrants(client: ClientBase): Promise<FreeholdGrant[]> {
  const { rows } = await client.query<{ key: string; label: string; object: string; grantee: string }>(
    `select distinct acl.privilege_type || columns || ' on ' || kind || ' ' || identity || ' to '
         || coalesce(grantee.rolname, 'public') || case when acl.is_grantable then ' with grant option' else '' end as key,
       kind || ' ' || identity as label, kind || ' ' || identity as object,
       coalesce(quote_ident(grantee.rolname), 'public') as grantee
     from (
       select case class.relkind when 'S' then 'sequence' else 'table' end as kind, class.oid::regclass::text as identity,
         '' as columns, class.relacl as acl, class.relowner as owner
       from pg_class class join pg_namespace namespace on namespace.oid = class.relnamespace where ${OURS}
       union all
       select 'table', class.oid::regclass::text, ' (' || quote_ident(attribute.attname) || ')', attribute.attacl,
         class.relowner
       from pg_attribute attribute
       join pg_class class on class.oid = attribute.attrelid
       join pg_namespace namespace on namespace.oid = class.relnamespace where ${OURS}
       union all
       select case function.prokind when 'p' then 'procedure' else 'function' end, function.oid::regprocedure::text, '',
         coalesce(function.proacl, acldefault('f', function.proowner)), function.proowner
       from pg_proc function join pg_namespace namespace on namespace.oid = function.pronamespace where ${OURS}
       union all
       select 'schema', quote_ident(namespace.nspname), '', namespace.nspacl, namespace.nspowner
       from pg_namespace namespace where ${OURS}
     ) held
     cross join lateral aclexplode(held.acl) acl
     left join pg_roles grantee on grantee.oid = acl.grantee
     where acl.grantee <> held.owner order by 1`,
  )
  return rows.map(({ key, label, object, grantee }) => ({
    key,
    label,
    revoke: `revoke all on ${object} from ${grantee};`,
  }))
}
