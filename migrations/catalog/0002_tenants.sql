-- Tenants and their placements. The rules of the design are constraints, each named as a sentence.

create table catalog.tenants (
  id text primary key default gen_random_uuid(),
  slug text not null,
  name text not null,
  tier_id text not null,
  status text not null default 'active',
  residency text,
  pinned_to text generated always as (coalesce(residency, 'any')) stored,
  created_at timestamptz not null default clock_timestamp(),
  constraint tenant_id_is_plain check (id ~ '^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$'),
  constraint slugs_are_unique unique (slug),
  constraint slug_is_a_name check (slug ~ '^[a-z][a-z0-9-]{0,39}$'),
  constraint tenant_has_a_tier foreign key (tier_id) references catalog.tiers (id),
  constraint tenant_status_is_known check (status in ('active', 'suspended')),
  constraint residency_is_a_name check (residency ~ '^[a-z][a-z0-9-]{0,39}$' and residency <> 'any'),
  constraint tenant_has_one_pin unique (id, pinned_to)
);
comment on table catalog.tenants is 'Customer organisations.';
comment on column catalog.tenants.id is
  'The value of the tenant column in the product''s tables, as text: a UUID, a number or a word.';
comment on column catalog.tenants.residency is 'The jurisdiction to which the tenant is pinned; null: not pinned.';
comment on column catalog.tenants.pinned_to is 'residency, or any: what the placements'' foreign key follows.';

create table catalog.tenant_names (
  name text not null,
  tenant_id text not null,
  constraint name_means_one_tenant primary key (name),
  constraint name_is_of_a_tenant foreign key (tenant_id) references catalog.tenants (id) on delete cascade
);
comment on table catalog.tenant_names is
  'What a tenant may be called by: its id and its slug. Nobody can take another''s id as a slug, nor the other way round.';
create index names_by_tenant on catalog.tenant_names (tenant_id);

create function catalog.name_tenant() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    delete from catalog.tenant_names where tenant_id = new.id and name = old.slug and name <> new.id;
  end if;
  insert into catalog.tenant_names (name, tenant_id)
  select name, new.id from unnest(array[new.id, new.slug]) name
  where not exists (select from catalog.tenant_names known where known.name = name and known.tenant_id = new.id)
  group by name;
  return null;
end
$$;
comment on function catalog.name_tenant() is 'Keeps catalog.tenant_names.';
create trigger name_tenant after insert or update of slug on catalog.tenants
  for each row execute function catalog.name_tenant();

create table catalog.placements (
  tenant_id text not null,
  epoch bigint not null,
  data_database_id uuid not null,
  database_kind text not null,
  isolation text not null,
  schema_name text not null default 'public',
  jurisdiction text not null,
  pinned_to text not null,
  since timestamptz not null default clock_timestamp(),
  until timestamptz,
  constraint placements_pkey primary key (tenant_id, epoch),
  constraint placement_is_in_a_database foreign key (data_database_id, jurisdiction)
    references catalog.data_databases (id, jurisdiction),
  constraint placement_matches_its_database foreign key (data_database_id, database_kind)
    references catalog.data_databases (id, kind),
  constraint placement_follows_the_pin foreign key (tenant_id, pinned_to)
    references catalog.tenants (id, pinned_to) on update cascade,
  constraint placement_respects_residency check (until is not null or pinned_to in ('any', jurisdiction)),
  constraint isolation_fits_the_database check (
    (isolation in ('pool', 'schema') and database_kind = 'pool') or (isolation = 'silo' and database_kind = 'silo')),
  constraint epoch_is_positive check (epoch > 0),
  constraint placement_ends_after_it_began check (until >= since)
);
comment on table catalog.placements is
  'Where each tenant lives and lived. The placement without an end is its home, the only one that takes writes.';

create unique index one_home_per_tenant on catalog.placements (tenant_id) where until is null;
comment on index catalog.one_home_per_tenant is 'A tenant has at most one home (invariant I1).';
create unique index one_tenant_per_silo on catalog.placements (data_database_id)
  where until is null and isolation = 'silo';
comment on index catalog.one_tenant_per_silo is 'A silo is the home of one tenant.';

create index homes_by_age on catalog.placements (since desc, tenant_id desc) where until is null;
comment on index catalog.homes_by_age is 'Routers that start load the homes that are newest first, page by page.';

create function catalog.check_tenant_has_a_home() returns trigger language plpgsql as $$
declare
  checked text;
begin
  if tg_table_name = 'tenants' then checked := new.id; else checked := old.tenant_id; end if;
  if exists (select from catalog.tenants where id = checked)
    and not exists (select from catalog.placements where tenant_id = checked and until is null) then
    raise exception using errcode = 'check_violation', constraint = 'tenant_has_a_home',
      message = 'a tenant must have a home at the end of every transaction';
  end if;
  return null;
end
$$;
comment on function catalog.check_tenant_has_a_home() is 'A tenant has at least one home (invariant I1).';
create constraint trigger tenant_has_a_home after insert on catalog.tenants
  deferrable initially deferred for each row execute function catalog.check_tenant_has_a_home();
create constraint trigger tenant_keeps_a_home after update or delete on catalog.placements
  deferrable initially deferred for each row execute function catalog.check_tenant_has_a_home();

create function catalog.check_epoch_only_grows() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and new.epoch = old.epoch then return new; end if;
  if tg_op = 'UPDATE' or exists (
    select from catalog.placements where tenant_id = new.tenant_id and epoch >= new.epoch) then
    raise exception using errcode = 'check_violation', constraint = 'epoch_only_grows',
      message = 'a placement must have a greater epoch than every earlier one of its tenant';
  end if;
  return new;
end
$$;
comment on function catalog.check_epoch_only_grows() is
  'A stale router is recognised by its epoch, so an epoch is never used twice.';
create trigger epoch_only_grows before insert or update of epoch on catalog.placements
  for each row execute function catalog.check_epoch_only_grows();

create function catalog.check_placements_are_history() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and old.until is null
    and (new.tenant_id, new.epoch, new.data_database_id, new.isolation, new.schema_name, new.since)
      = (old.tenant_id, old.epoch, old.data_database_id, old.isolation, old.schema_name, old.since) then
    return new;
  end if;
  if tg_op = 'UPDATE' and new.pinned_to <> old.pinned_to and new.until is not distinct from old.until then
    return new;
  end if;
  raise exception using errcode = 'check_violation', constraint = 'placements_are_history',
    message = 'a placement may be ended, and nothing else about it may change';
end
$$;
comment on function catalog.check_placements_are_history() is 'What the history says has been, has been.';
create trigger placements_are_history before update or delete on catalog.placements
  for each row execute function catalog.check_placements_are_history();

create function catalog.announce_placement() returns trigger language plpgsql as $$
begin
  if tg_table_name = 'tenants' then
    perform pg_notify('freehold_placement', new.id);
  else
    perform pg_notify('freehold_placement', new.tenant_id);
  end if;
  return null;
end
$$;
comment on function catalog.announce_placement() is
  'Tells routers that what they know of a tenant is old. A router that misses it is slow, not wrong.';
create trigger announce_placement after insert or update on catalog.placements
  for each row execute function catalog.announce_placement();
create trigger announce_tenant after update on catalog.tenants
  for each row execute function catalog.announce_placement();

create view catalog.routes as
  select
    tenants.id as tenant_id, tenants.slug, tenants.status, tenants.tier_id,
    placements.epoch, placements.isolation, placements.schema_name,
    data_databases.id as data_database_id, data_databases.name as database_name,
    clusters.id as cluster_id, clusters.region_id, clusters.jurisdiction,
    clusters.host, clusters.port, clusters.tls, clusters.app_secret,
    placements.since
  from catalog.tenants
  join catalog.placements on placements.tenant_id = tenants.id and placements.until is null
  join catalog.data_databases on data_databases.id = placements.data_database_id
  join catalog.clusters on clusters.id = data_databases.cluster_id;
comment on view catalog.routes is 'All that a router may see: each tenant''s home and how to reach it.';
