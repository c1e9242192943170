-- A move may lead to a pool, to a schema of the tenant's own or to a silo.
alter table catalog.operations
  -- Moves that were recorded before led to silos.
  add column target_isolation text not null default 'silo',
  add column target_schema text not null default 'public',
  add constraint target_isolation_is_known check (target_isolation in ('pool', 'schema', 'silo')),
  add constraint only_own_schemas_have_a_name check ((target_isolation = 'schema') = (target_schema <> 'public'));
alter table catalog.operations
  alter column target_isolation drop default,
  alter column target_schema drop default;
comment on column catalog.operations.target_isolation is 'How the tenant is to be kept apart at its target.';
comment on column catalog.operations.target_schema is
  'Where its tables will be: a schema of its own, or public for shared tables and a silo''s.';

-- What a move puts into shared tables is a resource as well, until the tenant lives there.
alter table catalog.cleanup_ledger drop constraint ledger_kind_is_known;
alter table catalog.cleanup_ledger add constraint ledger_kind_is_known
  check (kind in ('database', 'schema', 'tenant_rows', 'publication', 'replication_slot'));

-- A silo is dropped when its tenant has left. Its row stays, because the history of placements names it.
alter table catalog.data_databases add column dropped_at timestamptz;
comment on column catalog.data_databases.dropped_at is
  'Since when the database is gone; it is kept for the history of placements, and nobody can be placed there.';

create function catalog.check_home_is_not_dropped() returns trigger language plpgsql as $$
begin
  if tg_table_name = 'placements' then
    -- The lock keeps the database from being dropped before this placement can be seen.
    perform from catalog.data_databases where id = new.data_database_id for share;
    if not exists (select from catalog.data_databases where id = new.data_database_id and dropped_at is not null) then
      return new;
    end if;
  elsif not exists (select from catalog.placements where data_database_id = new.id and until is null) then
    return new;
  end if;
  raise exception using errcode = 'check_violation', constraint = 'home_is_not_dropped',
    message = 'a tenant''s home must be in a database that has not been dropped';
end
$$;
comment on function catalog.check_home_is_not_dropped() is 'A database that is gone is nobody''s home.';
create trigger home_is_not_dropped before insert on catalog.placements
  for each row execute function catalog.check_home_is_not_dropped();
create trigger dropped_databases_are_empty before update of dropped_at on catalog.data_databases
  for each row when (new.dropped_at is not null) execute function catalog.check_home_is_not_dropped();
