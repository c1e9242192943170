-- Many moves at a time: pauses, limits, clusters that are emptied, and what a switch waits for.

create table catalog.evacuations (
  id uuid primary key default gen_random_uuid(),
  cluster_id text not null,
  target_region text,
  target_cluster text,
  max_concurrent integer not null,
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  constraint evacuation_is_of_a_cluster foreign key (cluster_id) references catalog.clusters (id),
  constraint evacuation_leads_to_a_region foreign key (target_region) references catalog.regions (id),
  constraint evacuation_leads_to_a_cluster foreign key (target_cluster) references catalog.clusters (id),
  constraint evacuation_has_one_target check (num_nonnulls(target_region, target_cluster) = 1),
  constraint evacuation_leaves_its_cluster check (target_cluster <> cluster_id),
  constraint evacuation_moves_some_at_a_time check (max_concurrent between 1 and 100)
);
comment on table catalog.evacuations is 'Clusters that are being, or have been, emptied of tenants.';
comment on column catalog.evacuations.max_concurrent is 'Moves of this evacuation that are under way or wait at the same time.';
create unique index one_evacuation_per_cluster on catalog.evacuations (cluster_id) where finished_at is null;
comment on index catalog.one_evacuation_per_cluster is 'A cluster is emptied by one evacuation at a time.';

create table catalog.evacuation_tenants (
  evacuation_id uuid not null,
  tenant_id text not null,
  state text not null default 'waiting',
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),
  operation_id uuid,
  problem jsonb,
  constraint evacuation_tenants_pkey primary key (evacuation_id, tenant_id),
  constraint evacuation_tenant_is_of_an_evacuation foreign key (evacuation_id) references catalog.evacuations (id),
  constraint evacuation_tenant_is_a_tenant foreign key (tenant_id) references catalog.tenants (id),
  constraint evacuation_tenant_has_a_move foreign key (operation_id) references catalog.operations (id),
  constraint evacuation_tenant_state_is_known check (state in ('waiting', 'planning', 'moving', 'moved', 'refused')),
  constraint moving_tenants_have_a_move check (state <> 'moving' or operation_id is not null),
  constraint refused_tenants_have_a_reason check (state <> 'refused' or problem is not null)
);
comment on table catalog.evacuation_tenants is 'What has become of each tenant of a cluster that is emptied.';
comment on column catalog.evacuation_tenants.next_attempt_at is
  'waiting: when the next move is planned. planning: until when the worker that plans it has to have done so.';
comment on column catalog.evacuation_tenants.problem is 'Why the last attempt failed, or why there is no further one.';

alter table catalog.clusters
  add column max_moves integer not null default 4,
  add column draining_since timestamptz,
  add constraint cluster_takes_part_in_some_moves check (max_moves between 1 and 1000);
comment on column catalog.clusters.max_moves is
  'Moves that are under way at the same time with this cluster as their source or their target.';
comment on column catalog.clusters.draining_since is 'Since then no tenant and no move is placed here.';

alter table catalog.operations
  add column evacuation_id uuid,
  add column paused_at timestamptz,
  add column paused_by text,
  add column needs_approval boolean not null default false,
  add column approved_at timestamptz,
  add column approved_by text,
  add column switch_not_before timestamptz,
  add column switch_from time,
  add column switch_until time,
  add column switch_zone text,
  add column max_rows_per_second integer,
  add column last_failure jsonb,
  add constraint move_is_of_an_evacuation foreign key (evacuation_id) references catalog.evacuations (id),
  add constraint pause_names_who check ((paused_at is null) = (paused_by is null)),
  add constraint paused_moves_do_not_switch
    check (paused_at is null or not switch_intended or phase <> 'cutover'),
  add constraint approval_names_who check ((approved_at is null) = (approved_by is null)),
  add constraint only_what_needs_it_is_approved check (needs_approval or approved_at is null),
  add constraint switch_window_is_whole check (num_nulls(switch_from, switch_until, switch_zone) in (0, 3)),
  add constraint switch_window_is_not_empty check (switch_from <> switch_until),
  add constraint rows_per_second_are_positive check (max_rows_per_second > 0);
comment on column catalog.operations.evacuation_id is
  'The evacuation that has started the move; without one it was started by hand, and goes first.';
comment on column catalog.operations.paused_at is 'Since when the move goes no further; its change stream stays.';
comment on column catalog.operations.switch_from is 'The switch may begin each day from this time on, in switch_zone.';
comment on column catalog.operations.switch_until is 'And before this one; of the next day, when it is the earlier of the two.';
comment on column catalog.operations.max_rows_per_second is 'Rows that are copied or purged per second at most.';
comment on column catalog.operations.last_failure is 'Why the last attempt in this phase failed: code and message.';

create function catalog.switch_opens_at(
  at timestamptz, not_before timestamptz, opens time, closes time, zone text
) returns timestamptz language sql stable as $$
  select case
    when opens is null then instant
    when opens < closes and clock::time >= opens and clock::time < closes then instant
    when opens > closes and (clock::time >= opens or clock::time < closes) then instant
    else (date_trunc('day', clock) + opens
      + case when clock::time >= opens then interval '1 day' else interval '0' end) at time zone zone
  end
  from (select greatest(at, not_before) as instant) earliest,
    lateral (select instant at time zone zone as clock) here
$$;
comment on function catalog.switch_opens_at(timestamptz, timestamptz, time, time, text) is
  'The first instant, not before the given one, at which a switch may begin.';

create function catalog.may_switch(move catalog.operations) returns boolean language sql stable as $$
  select move.paused_at is null and not move.cancel_requested
    and (not move.needs_approval or move.approved_at is not null)
    and catalog.switch_opens_at(clock_timestamp(), move.switch_not_before, move.switch_from, move.switch_until,
      move.switch_zone) <= clock_timestamp()
$$;
comment on function catalog.may_switch(catalog.operations) is 'Whether the people in charge let the switch begin now.';

create view catalog.moves_on_clusters as
  select operations.id as operation_id, clusters.cluster_id,
    operations.phase <> 'planned' or operations.lease_owner is not null as begun
  from catalog.operations
  join catalog.placements on placements.tenant_id = operations.tenant_id
    and placements.epoch = operations.source_epoch
  join catalog.data_databases on data_databases.id = placements.data_database_id
  cross join lateral (
    select data_databases.cluster_id union select operations.target_cluster_id) clusters
  where operations.finished_at is null and operations.phase <> 'soak';
comment on view catalog.moves_on_clusters is
  'Moves that have not ended, by the clusters that they lead from and to. One that has begun counts for the limit of '
  'both until it ends, rests in its rollback window, or is given back before it has made anything.';

create view catalog.move_line as
  select operation_id, cluster_id, max_moves,
    row_number() over (partition by cluster_id order by evacuation_id is not null, operations.created_at, operations.id) as place,
    max_moves - (
      select count(*) from catalog.moves_on_clusters others
      where others.cluster_id = waiting.cluster_id and others.begun) as free
  from catalog.moves_on_clusters waiting
  join catalog.operations on operations.id = operation_id
  join catalog.clusters on clusters.id = cluster_id
  where not begun and paused_at is null and not cancel_requested and run_after <= clock_timestamp();
comment on view catalog.move_line is
  'Moves that could begin but for the limits of their clusters: started by hand before those of evacuations, then in '
  'the order in which they were started. A cluster''s free places belong to the first in its line.';

create function catalog.move_may_begin(id uuid) returns boolean language sql stable as $$
  select count(*) > 0 and bool_and(place <= free) from catalog.move_line where operation_id = id
$$;
comment on function catalog.move_may_begin(uuid) is
  'Whether a move is among the first in the lines of both its clusters. Exact for who holds the rows of both.';

create function catalog.check_cluster_is_not_draining() returns trigger language plpgsql as $$
declare
  chosen text;
begin
  if tg_table_name = 'operations' then
    chosen := new.target_cluster_id;
  elsif exists (select from catalog.placements where tenant_id = new.tenant_id) then
    return new;
  else
    select cluster_id into chosen from catalog.data_databases where id = new.data_database_id;
  end if;
  -- The lock keeps the cluster from being drained before this row can be seen.
  perform from catalog.clusters where id = chosen for share;
  if not exists (select from catalog.clusters where id = chosen and draining_since is not null) then
    return new;
  end if;
  if tg_table_name = 'operations' then
    raise exception using errcode = 'check_violation', constraint = 'draining_clusters_take_no_moves',
      message = 'a cluster that is drained takes no moves';
  end if;
  raise exception using errcode = 'check_violation', constraint = 'draining_clusters_take_no_tenants',
    message = 'a cluster that is drained takes no new tenants';
end
$$;
comment on function catalog.check_cluster_is_not_draining() is
  'Nothing new is placed on a cluster that is emptied; moves there that had been started before go on.';
create trigger draining_clusters_take_no_moves before insert on catalog.operations
  for each row execute function catalog.check_cluster_is_not_draining();
create trigger draining_clusters_take_no_tenants before insert on catalog.placements
  for each row execute function catalog.check_cluster_is_not_draining();

grant select, insert, update, delete on catalog.evacuations, catalog.evacuation_tenants to freehold_control;
grant select on catalog.moves_on_clusters, catalog.move_line to freehold_control;
