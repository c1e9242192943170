-- A move may keep its source in step for a while after the switch, so that it can be rolled back.
alter table catalog.operations drop constraint operation_phase_is_known;
alter table catalog.operations add constraint operation_phase_is_known check (phase in (
  'planned', 'provisioning', 'dual_write', 'backfill', 'verify', 'ready', 'cutover', 'soak', 'finalize', 'completed',
  'aborting', 'aborted', 'rolling_back', 'rolled_back'));
alter table catalog.operations drop constraint operation_ends_in_a_terminal_phase;
alter table catalog.operations add constraint operation_ends_in_a_terminal_phase
  check ((finished_at is not null) = (phase in ('completed', 'aborted', 'rolled_back')));

alter table catalog.operations
  add column rollback_window_seconds integer not null default 0,
  add column source_jurisdiction text,
  add column window_closes_at timestamptz,
  add column rollback_requested boolean not null default false,
  add column rollback_error jsonb;
comment on column catalog.operations.rollback_window_seconds is
  'How long after the switch the source is kept in step; 0: not at all.';
comment on column catalog.operations.source_jurisdiction is
  'Where the source is, for a move with a rollback window: for so long the tenant''s rows are there as well.';
comment on column catalog.operations.window_closes_at is
  'From then on the move is finalized. Set at the switch; an operator who finalizes early sets it back.';
comment on column catalog.operations.rollback_requested is 'The tenant is to go back to the source.';
comment on column catalog.operations.rollback_error is
  'Why the source is not in step any more: rolling back would lose writes.';

alter table catalog.operations
  add constraint rollback_window_is_not_negative check (rollback_window_seconds >= 0),
  add constraint rollback_needs_an_open_window
    check (not rollback_requested or (window_closes_at is not null and phase in ('soak', 'rolling_back', 'rolled_back'))),
  add constraint unsafe_rollbacks_are_not_made check (not (rollback_requested and rollback_error is not null)),
  add constraint rollback_window_has_a_jurisdiction
    check (rollback_window_seconds = 0 or source_jurisdiction is not null),
  -- Until the source begins to be purged the tenant's rows are in both jurisdictions.
  add constraint rollback_window_respects_residency
    check (rollback_window_seconds = 0 or finished_at is not null or phase in ('finalize', 'aborting')
      or pinned_to in ('any', source_jurisdiction));

create or replace function catalog.may_switch(move catalog.operations) returns boolean language sql stable as $$
  -- Whoever asks for a rollback wants it now: what the switch had to wait for was for the way there.
  select move.phase = 'rolling_back' or (
    move.paused_at is null and not move.cancel_requested
    and (not move.needs_approval or move.approved_at is not null)
    and catalog.switch_opens_at(clock_timestamp(), move.switch_not_before, move.switch_from, move.switch_until,
      move.switch_zone) <= clock_timestamp())
$$;
