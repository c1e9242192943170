-- Durable operations. The queue only nudges: what is to be done, how far it is and who may do it stands here.

create table catalog.operations (
  id uuid primary key default gen_random_uuid(),
  kind text not null,
  tenant_id text not null,
  pinned_to text not null,
  phase text not null,
  source_epoch bigint not null,
  target_cluster_id text not null,
  target_jurisdiction text not null,
  target_database_name text not null,
  state jsonb not null,
  progress jsonb not null,
  cancel_requested boolean not null default false,
  switch_intended boolean not null default false,
  error jsonb,
  attempts integer not null default 0,
  run_after timestamptz not null default clock_timestamp(),
  fencing_token bigint not null default 0,
  lease_owner text,
  lease_expires_at timestamptz,
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  constraint operation_kind_is_known check (kind = 'move'),
  constraint operation_phase_is_known check (phase in (
    'planned', 'provisioning', 'dual_write', 'backfill', 'verify', 'ready', 'cutover', 'finalize', 'completed',
    'aborting', 'aborted')),
  constraint operation_ends_in_a_terminal_phase
    check ((finished_at is not null) = (phase in ('completed', 'aborted'))),
  constraint operation_starts_from_a_placement foreign key (tenant_id, source_epoch)
    references catalog.placements (tenant_id, epoch),
  constraint operation_targets_a_cluster foreign key (target_cluster_id, target_jurisdiction)
    references catalog.clusters (id, jurisdiction),
  constraint operation_follows_the_pin foreign key (tenant_id, pinned_to)
    references catalog.tenants (id, pinned_to) on update cascade,
  constraint move_respects_residency
    check (finished_at is not null or pinned_to in ('any', target_jurisdiction)),
  constraint cancelled_moves_do_not_switch check (not (cancel_requested and switch_intended)),
  constraint lease_has_an_owner_and_an_expiry check ((lease_owner is null) = (lease_expires_at is null))
);
comment on table catalog.operations is
  'Moves and, later, the other durable operations. A worker advances one only with the newest fencing token.';
comment on column catalog.operations.state is 'All that is needed to resume, with a version.';
comment on column catalog.operations.progress is 'What is shown; nothing is decided by it.';
comment on column catalog.operations.fencing_token is
  'Grows with every lease; a worker whose token is older writes nothing.';

comment on column catalog.operations.switch_intended is
  'The point of no return is about to be passed, or has been: a cancel comes too late.';

create unique index one_active_operation_per_tenant on catalog.operations (tenant_id) where finished_at is null;
comment on index catalog.one_active_operation_per_tenant is 'A tenant is moved by one operation at a time.';
create index operations_due on catalog.operations (run_after) where finished_at is null;
comment on index catalog.operations_due is 'What workers poll.';
create index operations_by_age on catalog.operations (created_at desc, id desc);
comment on index catalog.operations_by_age is 'The list of moves, newest first.';

create function catalog.check_fencing_token_only_grows() returns trigger language plpgsql as $$
begin
  if new.fencing_token < old.fencing_token then
    raise exception using errcode = 'check_violation', constraint = 'fencing_token_only_grows',
      message = 'a fencing token is never taken back';
  end if;
  if old.finished_at is not null and to_jsonb(new) - 'pinned_to' <> to_jsonb(old) - 'pinned_to' then
    raise exception using errcode = 'check_violation', constraint = 'finished_operations_do_not_change',
      message = 'an operation that has ended does not change';
  end if;
  return new;
end
$$;
comment on function catalog.check_fencing_token_only_grows() is
  'Keeps a worker that lost its lease from writing, and the end of an operation from being rewritten.';
create trigger fencing_token_only_grows before update on catalog.operations
  for each row execute function catalog.check_fencing_token_only_grows();

create table catalog.operation_events (
  operation_id uuid not null references catalog.operations (id),
  sequence integer not null,
  at timestamptz not null default clock_timestamp(),
  phase text not null,
  message text not null,
  constraint operation_events_pkey primary key (operation_id, sequence)
);
comment on table catalog.operation_events is 'The timeline of an operation, written once.';

create function catalog.check_events_are_append_only() returns trigger language plpgsql as $$
begin
  raise exception using errcode = 'check_violation', constraint = 'operation_events_are_append_only',
    message = 'the timeline of an operation is only ever added to';
end
$$;
comment on function catalog.check_events_are_append_only() is 'The timeline is evidence.';
create trigger operation_events_are_append_only before update or delete on catalog.operation_events
  for each row execute function catalog.check_events_are_append_only();

create function catalog.announce_operation() returns trigger language plpgsql as $$
begin
  perform pg_notify('freehold_operation', new.id::text);
  return null;
end
$$;
comment on function catalog.announce_operation() is 'Wakes those who follow an operation: whatever is shown of it changes together with updated_at.';
create trigger announce_operation after insert or update of updated_at on catalog.operations
  for each row execute function catalog.announce_operation();

create table catalog.cleanup_ledger (
  id uuid primary key default gen_random_uuid(),
  operation_id uuid not null references catalog.operations (id),
  cluster_id text not null references catalog.clusters (id),
  kind text not null,
  database_name text not null,
  name text not null,
  recorded_at timestamptz not null default clock_timestamp(),
  released_at timestamptz,
  constraint ledger_kind_is_known check (kind in ('database', 'publication', 'replication_slot'))
);
comment on table catalog.cleanup_ledger is
  'Every resource that an operation creates, recorded before it exists (invariant I6). A row without release is '
  'owned by its operation; when that has ended, the janitor removes the resource.';
create unique index ledger_names_a_resource_once on catalog.cleanup_ledger (cluster_id, kind, database_name, name)
  where released_at is null;
comment on index catalog.ledger_names_a_resource_once is 'Two operations never own one resource.';

create table catalog.idempotency_keys (
  key text not null,
  subject text not null,
  request_digest bytea not null,
  resource_id text not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint idempotency_keys_pkey primary key (subject, key),
  constraint key_is_short check (length(key) between 1 and 200)
);
comment on table catalog.idempotency_keys is 'Creating requests already carried out, by who sent them.';

grant select, insert, update, delete on all tables in schema catalog to freehold_control;
revoke update, delete on catalog.operation_events from freehold_control;
grant select on catalog.routes to freehold_reader;
