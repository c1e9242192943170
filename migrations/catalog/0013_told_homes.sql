-- A router that knows where a tenant is coming need not ask once more when it has come, if it is told for which epoch.
create or replace function catalog.announce_placement() returns trigger language plpgsql as $$
begin
  if tg_table_name = 'tenants' then
    perform pg_notify('freehold_placement', new.id);
  elsif tg_op = 'INSERT' then
    perform pg_notify('freehold_placement', new.tenant_id || ' ' || new.epoch);
  elsif new.until is not distinct from old.until then
    perform pg_notify('freehold_placement', new.tenant_id);
  end if;
  -- A home ends only where another begins, which is announced.
  return null;
end
$$;
comment on function catalog.announce_placement() is
  'Tells routers that what they know of a tenant is old, and of a new home its epoch. A router that misses it is slow, not wrong.';

-- One statement, because the tenant's writers wait for its answer, whose plan a session keeps once it has rehearsed it. The tenant's row
-- is locked first: that keeps its pin as it is until the end, and a second switch of the tenant waiting. One home ends and the other
-- begins, or neither.
create function catalog.switch_home(
  moved text, from_epoch bigint, to_epoch bigint, home_database uuid, home_isolation text, home_schema text
) returns boolean language plpgsql set plan_cache_mode = force_generic_plan as $$
begin
  with tenant as (
    select id, pinned_to from catalog.tenants where id = moved for no key update
  ), left_home as (
    update catalog.placements set until = clock_timestamp()
    from tenant, catalog.data_databases
    where tenant_id = tenant.id and epoch = from_epoch and until is null and data_databases.id = home_database
    returning tenant_id
  )
  insert into catalog.placements (tenant_id, epoch, data_database_id, database_kind, isolation, schema_name,
    jurisdiction, pinned_to)
  select left_home.tenant_id, to_epoch, data_databases.id, data_databases.kind, home_isolation, home_schema,
    data_databases.jurisdiction, tenant.pinned_to
  from left_home, tenant, catalog.data_databases
  where data_databases.id = home_database;
  return found;
end
$$;
comment on function catalog.switch_home(text, bigint, bigint, uuid, text, text) is
  'Makes a placement the home of a tenant that has its home at an epoch; otherwise nothing, and false.';
