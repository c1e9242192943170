-- Which schemas a tenant has no business with: their names may be the names of customers.
set local search_path = pg_catalog, pg_temp;

create function freehold.is_schema_of_another(name name) returns boolean
  language sql stable security definer set search_path = pg_catalog, pg_temp
  return exists (
    select from freehold.tenant_schema
    where tenant_schema.schema_name = name
      and tenant_schema.schema_name is distinct from (select entered.schema_name from freehold.entered)
  );
comment on function freehold.is_schema_of_another(name) is
  'Whether a schema belongs to another tenant than the one that is entered. For leaving such schemas out of lists: what '
  'is in them row security decides.';
revoke execute on function freehold.is_schema_of_another(name) from public;
grant execute on function freehold.is_schema_of_another(name) to freehold_app;
