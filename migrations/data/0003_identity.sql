-- Which database this is, where no catalog says so: a product that uses the router alone.
set local search_path = pg_catalog, pg_temp;

create table freehold.identity (
  only_one boolean primary key default true,
  data_database_id uuid not null default gen_random_uuid(),
  constraint there_is_one_identity check (only_one)
);
comment on table freehold.identity is
  'The id by which entry keys are derived for this database. Written when an existing database is adopted; a catalog '
  'that takes it over later uses the same id. Empty where a catalog has given the database its id.';
grant select on freehold.identity to freehold_control;

-- The role that knows who lives here: it looks residents up and lets tenants in and out, and sees no product's row.
grant usage on schema freehold to freehold_control;
grant select, insert, update, delete on freehold.resident to freehold_control;
grant select on freehold.tenant_schema, freehold.tenant_column_types to freehold_control;

create function freehold.announce_resident() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from freehold.identity) then
    perform pg_notify('freehold_resident', coalesce(new.tenant_id, old.tenant_id));
  end if;
  return null;
end
$$;
comment on function freehold.announce_resident() is
  'Tells routers without a catalog that a tenant has been let in or out. Where there is a catalog, it tells.';
create trigger announce_resident after insert or update or delete on freehold.resident
  for each row execute function freehold.announce_resident();
grant select on freehold.identity to freehold_mover;
