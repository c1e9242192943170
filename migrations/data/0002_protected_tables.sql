-- Which tables belong to tenants, and the one way to make a table safe for them.

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

create function freehold.protect_table(relation regclass, tenant_column name default 'tenant_id') returns void
  language plpgsql volatile
as $$
declare
  column_type text;
  partition regclass;
  used_sequence regclass;
begin
  select format_type(attribute.atttypid, attribute.atttypmod) into column_type
  from pg_attribute attribute
  where attribute.attrelid = relation and attribute.attname = tenant_column and not attribute.attisdropped;
  if column_type is null then
    raise exception using errcode = 'undefined_column',
      message = format('table %s has no tenant column %I', relation, tenant_column),
      hint = 'Add the column, or declare the table with freehold.declare_reference_table().';
  end if;

  for partition in
    select tree.relid from pg_partition_tree(relation) tree
    union all select relation where not exists (select from pg_partition_tree(relation))
  loop
    execute format('alter table %s enable row level security', partition);
    execute format('alter table %s force row level security', partition);
    execute format('drop policy if exists freehold_tenant on %s', partition);
    -- The scalar subquery is evaluated once per query, not per row, and leaves the index on the column usable.
    execute format(
      'create policy freehold_tenant on %1$s using (%2$I = (select entered.tenant_id from freehold.entered)::%3$s)'
      ' with check (%2$I = (select entered.tenant_id from freehold.entered)::%3$s)',
      partition, tenant_column, column_type);
    execute format('revoke all on %s from public, freehold_app, freehold_mover', partition);
  end loop;

  execute format('alter table %s alter column %I set default freehold.current_tenant()::%s',
    relation, tenant_column, column_type);
  execute format('alter table %s alter column %I set not null', relation, tenant_column);
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
  language plpgsql volatile
as $$
begin
  execute format('revoke all on %s from public, freehold_app, freehold_mover', relation);
  execute format('grant select on %s to freehold_app, freehold_mover', relation);
  insert into freehold.managed_table (relation, kind) values (relation, 'reference')
  on conflict on constraint managed_table_pkey do update set kind = excluded.kind, tenant_column = null;
end
$$;
comment on function freehold.declare_reference_table(regclass) is
  'Declares that a table without a tenant column holds the same rows for every tenant; products may only read it.';

revoke execute on function freehold.protect_table(regclass, name) from public;
revoke execute on function freehold.declare_reference_table(regclass) from public;
