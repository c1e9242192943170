-- Where rows wait that a product loads in bulk: PostgreSQL refuses COPY FROM into a table with row security.
set local search_path = pg_catalog, pg_temp;

create function freehold.stage_rows(
  relation regclass, columns text[],
  out staged text, out tenant_column name, out tenant_type text
)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  name text := 'staged_' || replace(gen_random_uuid()::text, '-', '');
begin
  select managed_table.tenant_column, format_type(attribute.atttypid, attribute.atttypmod)
  into tenant_column, tenant_type
  from freehold.managed_table
  join pg_attribute attribute on attribute.attrelid = managed_table.relation
    and attribute.attname = managed_table.tenant_column
  where managed_table.relation = stage_rows.relation and managed_table.kind = 'tenant';
  if not found then
    raise exception using errcode = 'wrong_object_type',
      message = format('%s is not a table of tenants', relation),
      hint = 'Declare it with freehold.protect_table().';
  end if;
  execute format('create temporary table %I on commit drop as select %s from %s with no data', name,
    (select string_agg(quote_ident(listed.name), ', ' order by listed.position)
     from unnest(columns) with ordinality listed (name, position)), relation);
  execute format('grant select, insert on pg_temp.%I to %I', name, session_user);
  staged := format('pg_temp.%I', name);
end
$$;
comment on function freehold.stage_rows(regclass, text[]) is
  'Makes an empty temporary table with some columns of a tenant table (their types only), which the transaction drops '
  'when it ends. COPY fills it, and INSERT ... SELECT takes the rows from there through row security. Runs with the '
  'owner''s rights, so that products need no right to make temporary tables, which would outlive the transaction.';
revoke execute on function freehold.stage_rows(regclass, text[]) from public;
-- Moves into shared tables bring their rows the same way, through row security, as the tenant.
grant execute on function freehold.stage_rows(regclass, text[]) to freehold_app, freehold_mover;
