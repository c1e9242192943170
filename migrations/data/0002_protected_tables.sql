-- Which tables belong to tenants, and the one way to make a table safe for them.
set local search_path = pg_catalog, pg_temp;

create type freehold.table_kind as enum ('tenant', 'reference');
comment on type freehold.table_kind is
  'tenant: every row belongs to one tenant. reference: the same rows for every tenant, read-only for products.';

create table freehold.managed_table (
  relation regclass primary key,
  kind freehold.table_kind not null,
  tenant_column name,
  constraint tenant_tables_have_a_tenant_column check ((kind = 'tenant') = (tenant_column is not null))
);
comment on table freehold.managed_table is
  'The product''s tables as declared by its migrations. A table that is declared as neither stops a move.';
grant select on freehold.managed_table to freehold_app, freehold_mover;

create function freehold.tenant_column_type(relation regclass, tenant_column name) returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  column_type text;
  tells_apart boolean;
begin
  select format_type(attribute.atttypid, attribute.atttypmod),
    attribute.atttypid in ('uuid'::regtype, 'bigint'::regtype, 'integer'::regtype, 'text'::regtype, 'varchar'::regtype)
      and coalesce(collation_.collisdeterministic, true)
  into column_type, tells_apart
  from pg_attribute attribute
  left join pg_collation collation_ on collation_.oid = attribute.attcollation
  where attribute.attrelid = relation and attribute.attname = tenant_column and not attribute.attisdropped;
  if column_type is null then
    raise exception using errcode = 'undefined_column',
      message = format('table %s has no tenant column %I', relation, tenant_column),
      hint = 'Add the column, or declare the table with freehold.declare_reference_table().';
  end if;
  if not tells_apart then
    raise exception using errcode = 'datatype_mismatch',
      message = format('tenant column %I of table %s has the type %s', tenant_column, relation, column_type),
      hint = 'Use uuid, bigint, integer, text or varchar, and a deterministic collation.';
  end if;
  return column_type;
end
$$;
comment on function freehold.tenant_column_type(regclass, name) is
  'The type of a table''s tenant column. Types in which two different ids could be equal (citext, a '
  'nondeterministic collation) are refused: one tenant would be shown another''s rows.';

create function freehold.is_canonical(tenant text, column_type text) returns boolean
  language plpgsql stable strict set search_path = pg_catalog, pg_temp
as $$
declare
  canonical boolean;
begin
  execute format('select ($1::%s)::text = $1', column_type) into canonical using tenant;
  return canonical;
exception when data_exception then
  return false;
end
$$;
comment on function freehold.is_canonical(text, text) is
  'Whether a tenant''s id is what its tenant column''s value looks like as text. 042 and 42 are one bigint: if both '
  'could be residents, one would be shown the other''s rows.';

create view freehold.tenant_column_types as
  select distinct format_type(attribute.atttypid, attribute.atttypmod) as column_type
  from freehold.managed_table
  join pg_attribute attribute on attribute.attrelid = managed_table.relation
    and attribute.attname = managed_table.tenant_column and not attribute.attisdropped;
comment on view freehold.tenant_column_types is 'The types that tenant columns have here; one, as a rule.';
grant select on freehold.tenant_column_types to freehold_mover;

create function freehold.check_tenant_id_is_canonical() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from freehold.tenant_column_types types
    where not freehold.is_canonical(new.tenant_id, types.column_type)
  ) then
    raise exception using errcode = 'check_violation', constraint = 'tenant_id_is_canonical',
      message = 'the tenant''s id is not a canonical value of the tenant column''s type';
  end if;
  return new;
end
$$;
comment on function freehold.check_tenant_id_is_canonical() is
  'No two residents whose ids differ as text and are one value of the tenant column.';
create trigger tenant_id_is_canonical before insert or update of tenant_id on freehold.resident
  for each row execute function freehold.check_tenant_id_is_canonical();

create function freehold.create_tenant_schema(name name) returns void
  language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  insert into freehold.tenant_schema (schema_name) values (name);
  execute format('create schema %I', name);
  execute format('grant usage on schema %I to freehold_app, freehold_mover', name);
end
$$;
comment on function freehold.create_tenant_schema(name) is
  'Makes the schema of one tenant. Run the product''s migrations with it as search_path next.';
revoke execute on function freehold.create_tenant_schema(name) from public;

create function freehold.open_schema_of(relation regclass) returns void
  language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  schema_name name;
  role_name name;
begin
  select nspname into schema_name from pg_namespace where oid = (select relnamespace from pg_class where oid = relation);
  foreach role_name in array array['freehold_owner', 'freehold_app', 'freehold_mover']::name[] loop
    if not has_schema_privilege(role_name, schema_name::text, 'usage') then
      execute format('grant usage on schema %I to %I', schema_name, role_name);
    end if;
  end loop;
end
$$;
comment on function freehold.open_schema_of(regclass) is
  'Lets Freehold''s roles find a table by its schema, as its owner may; what they may do there is granted table by table.';

create function freehold.protect_table(relation regclass, tenant_column name default 'tenant_id') returns void
  language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  column_type text := freehold.tenant_column_type(relation, tenant_column);
  own_schema name;
  entered text;
  partition regclass;
  used_sequence regclass;
begin
  if column_type not in (select types.column_type from freehold.tenant_column_types types)
    and exists (select from freehold.resident where not freehold.is_canonical(tenant_id, column_type)) then
    raise exception using errcode = 'check_violation', constraint = 'tenant_id_is_canonical',
      message = format('a resident''s id is not a canonical value of type %s', column_type);
  end if;
  select tenant_schema.schema_name into own_schema
  from pg_class class
  join pg_namespace namespace on namespace.oid = class.relnamespace
  join freehold.tenant_schema on tenant_schema.schema_name = namespace.nspname
  where class.oid = relation;
  -- Compared with the schema as well: rows that a move has left behind, or not yet brought, belong to nobody's view.
  -- The scalar subquery is evaluated once per query, not per row, and leaves the index on the column usable. The schema is no
  -- condition of it: without statistics the planner could look for that instead, and compute a digest for every resident.
  entered := format('(select case when entered.schema_name %s then entered.tenant_id end as tenant_id from freehold.entered)::%s',
    case when own_schema is null then 'is null' else format('= %L', own_schema) end, column_type);

  for partition in
    select tree.relid from pg_partition_tree(relation) tree
    union all select relation where not exists (select from pg_partition_tree(relation))
  loop
    execute format('alter table %s enable row level security', partition);
    execute format('alter table %s force row level security', partition);
    execute format('drop policy if exists freehold_tenant on %s', partition);
    execute format('create policy freehold_tenant on %1$s using (%2$I operator(pg_catalog.=) %3$s)'
      ' with check (%2$I operator(pg_catalog.=) %3$s)',
      partition, tenant_column, entered);
    execute format('revoke all on %s from public, freehold_app, freehold_mover', partition);
  end loop;

  execute format('alter table %s alter column %I set default freehold.tenant_to_write()::%s',
    relation, tenant_column, column_type);
  execute format('alter table %s alter column %I set not null', relation, tenant_column);
  perform freehold.open_schema_of(relation);
  execute format('grant select, insert, update, delete on %s to freehold_app, freehold_mover', relation);
  for used_sequence in
    -- What a column owns (serial, identity), and what a default only names.
    select dependency.objid from pg_depend dependency
    join pg_class class on class.oid = dependency.objid and class.relkind = 'S'
    where dependency.refobjid = relation and dependency.refclassid = 'pg_class'::regclass
      and dependency.classid = 'pg_class'::regclass and dependency.deptype in ('a', 'i')
    union
    select dependency.refobjid from pg_attrdef column_default
    join pg_depend dependency on dependency.objid = column_default.oid
      and dependency.classid = 'pg_attrdef'::regclass and dependency.refclassid = 'pg_class'::regclass
    join pg_class class on class.oid = dependency.refobjid and class.relkind = 'S'
    where column_default.adrelid = relation
  loop
    -- Without UPDATE: nobody sets a sequence back under the other tenants. With USAGE, which inserting takes, it can
    -- be seen where the sequence stands, and so how much all tenants together insert.
    execute format('grant usage on sequence %s to freehold_app', used_sequence);
    execute format('grant usage, select, update on sequence %s to freehold_mover', used_sequence);
  end loop;

  insert into freehold.managed_table (relation, kind, tenant_column) values (relation, 'tenant', tenant_column)
  on conflict on constraint managed_table_pkey do update
    set kind = excluded.kind, tenant_column = excluded.tenant_column;
end
$$;
comment on function freehold.protect_table(regclass, name) is
  'Makes a table, and every partition it has now, safe for tenants: row security enabled and forced, the tenant '
  'column filled in and checked, rights granted on the table itself only. Call it in the migration that creates '
  'the table, and again in one that adds a partition.';

create function freehold.declare_reference_table(relation regclass) returns void
  language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('revoke all on %s from public, freehold_app, freehold_mover', relation);
  perform freehold.open_schema_of(relation);
  execute format('grant select on %s to freehold_app, freehold_mover', relation);
  insert into freehold.managed_table (relation, kind) values (relation, 'reference')
  on conflict on constraint managed_table_pkey do update set kind = excluded.kind, tenant_column = null;
end
$$;
comment on function freehold.declare_reference_table(regclass) is
  'Declares that a table without a tenant column holds the same rows for every tenant; products may only read it.';

revoke execute on function freehold.protect_table(regclass, name) from public;
revoke execute on function freehold.declare_reference_table(regclass) from public;
