import { EVERY_TRIAL, type Planted } from './planted.ts'

/** In a database of Freehold. */
export const plantedInFreehold: readonly Planted[] = [
  {
    check: 'rls-disabled',
    sql: 'alter table customers disable row level security',
    object: /^public\.customers$/,
    also: EVERY_TRIAL,
  },
  {
    check: 'policy-not-freehold',
    sql: `alter policy freehold_tenant on customers using (tenant_id = nullif(current_setting('freehold.tenant_id', true), '')::uuid)`,
    object: /customers/,
  },
  {
    check: 'policy-not-freehold',
    sql: `drop policy freehold_tenant on customers`,
    object: /customers/,
  },
  {
    check: 'policy-not-freehold',
    sql: `alter policy freehold_tenant on customers with check (tenant_id = (select tenant_id from freehold.entered)::uuid)`,
    object: /customers/,
  },
  {
    check: 'policy-not-freehold',
    sql: `drop policy freehold_delete on customers`,
    object: /customers/,
  },
  {
    check: 'policy-not-freehold',
    sql: `alter policy freehold_delete on customers using (true)`,
    object: /customers/,
  },
  {
    check: 'policy-widens',
    sql: 'create policy more on customers for select using (newsletter)',
    object: /customers/,
  },
  {
    check: 'undeclared-table',
    sql: 'create table logs (id int primary key); grant select on logs to freehold_app',
    object: /logs/,
    severity: 'blocking',
  },
  {
    check: 'app-role-table-rights',
    sql: 'grant truncate on customers to freehold_app',
    object: /customers/,
  },
  {
    check: 'large-objects',
    sql: 'grant execute on function lo_get(oid) to public',
    object: /large objects/,
    severity: 'blocking',
  },
  {
    check: 'settings-view-writable',
    sql: 'grant update on pg_settings to public',
    object: /pg_settings/,
    severity: 'blocking',
  },
  {
    check: 'freehold-leftovers',
    sql: `create table gone (tenant_id uuid not null); select freehold.protect_table('gone'); drop table gone;
      insert into freehold.applied (stream, fencing_token, updated_at) values ('old', 1, now() - interval '3 days');
      insert into freehold.resident (tenant_id, epoch, entry_digest, state, fence_token, fence_expires_at)
        values ('00000000-0000-4000-8000-00000000000c', 1, sha256('x'), 'fenced', gen_random_uuid(), now() - interval '5 hours');
      select pg_create_physical_replication_slot('freehold_not_of_this_database')`,
    object: /managed_table \d+|applied old|resident 0000/,
    undo: `select pg_drop_replication_slot('freehold_not_of_this_database')`,
  },
  {
    check: 'freehold-leftovers',
    sql: 'create publication freehold_0123456789abcdef0123456789abcdef_2 for table customers',
    object: /^publication freehold_0123/,
  },
  {
    check: 'freehold-leftovers',
    sql: `create trigger freehold_b_0123456789abcdef0123456789abcdef_2_insert after insert on order_events for each row
        execute function freehold.record_change();
      create trigger freehold_b_0123456789abcdef0123456789abcdef_2_truncate after truncate on order_events
        execute function freehold.record_change();
      insert into freehold.change (stream, tenant_id, relation, kind)
        values ('freehold_b_0123456789abcdef0123456789abcdef_2', 'x', 'order_events', 'unknown')`,
    object: /^triggers freehold_b_0123456789abcdef0123456789abcdef_2 on public.order_events$/,
  },
  {
    check: 'freehold-schema',
    sql: `create or replace view freehold.entered with (security_barrier) as
      select resident.tenant_id, resident.schema_name from freehold.resident
      where resident.entry_digest = (select sha256(convert_to(current_setting('freehold.entry', true), 'UTF8')))
        or tenant_id = current_setting('x.backdoor', true)`,
    object: /^view freehold\.entered$/,
  },
  {
    check: 'freehold-schema',
    sql: `create function public.convert_to(text, name) returns bytea language sql immutable as 'select pg_catalog.convert_to($1, $2)';
      create or replace view freehold.entered with (security_barrier) as
      select resident.tenant_id, resident.schema_name from freehold.resident
      where resident.entry_digest = (select sha256(public.convert_to(current_setting('freehold.entry', true), 'UTF8')))`,
    object: /^view freehold\.entered$/,
  },
  {
    check: 'freehold-schema',
    sql: 'alter view freehold.entered set (security_barrier = false)',
    object: /^view freehold\.entered$/,
  },
  {
    check: 'freehold-schema',
    sql: 'alter view freehold.entered owner to postgres',
    object: /^view freehold\.entered$/,
  },
  {
    check: 'freehold-schema',
    sql: `create or replace function freehold.enter_reader(entry_key text) returns void
      language sql security definer as 'select'`,
    object: /^function freehold\.enter_reader/,
  },
  {
    check: 'freehold-schema',
    sql: `create function freehold.peek() returns setof text language sql security definer set search_path = pg_catalog
      as 'select tenant_id from freehold.resident'`,
    object: /^function freehold\.peek/,
    also: ['definer-function', 'freehold-rights'],
  },
  {
    check: 'freehold-schema',
    sql: 'create view freehold.v as select * from customers; grant select on freehold.v to freehold_app',
    object: /^view freehold\.v$/,
    also: ['view-not-invoker', 'freehold-rights'],
  },
  {
    check: 'freehold-schema',
    sql: `create materialized view freehold_migrations.m as select * from customers;
      grant usage on schema freehold_migrations to freehold_app; grant select on freehold_migrations.m to freehold_app`,
    object: /^materialized view freehold_migrations\.m$/,
    also: ['matview-readable', 'freehold-rights'],
  },
  {
    check: 'freehold-schema',
    sql: `create function public.yes() returns trigger language plpgsql as 'begin return new; end';
      create trigger watching before insert on freehold.resident execute function public.yes()`,
    object: /^table freehold\.resident$/,
    mended: false,
  },
  {
    check: 'freehold-schema',
    sql: 'alter table freehold.resident drop constraint entry_digest_names_one_tenant',
    object: /^table freehold\.resident$/,
    mended: false,
  },
  {
    check: 'freehold-schema',
    sql: `create cast (freehold.table_kind as text) with inout`,
    object: /^cast /,
  },
  {
    check: 'freehold-rights',
    sql: 'grant select, insert, update on freehold.resident to freehold_app',
    object: /^table freehold\.resident$/,
  },
  {
    check: 'freehold-rights',
    sql: 'grant select (tenant_id) on freehold.resident to public',
    object: /^table freehold\.resident$/,
  },
  {
    check: 'freehold-rights',
    sql: 'create view residents as select * from freehold.resident; grant update on residents to freehold_app',
    object: /^view public\.residents$/,
  },
  {
    check: 'freehold-rights',
    sql: 'grant execute on function freehold.protect_table(regclass, name) to freehold_app',
    object: /protect_table/,
  },
  {
    check: 'freehold-rights',
    sql: 'grant create on schema freehold to freehold_app',
    object: /^schema freehold$/,
    also: ['app-role-schema-create'],
  },
  {
    check: 'app-role-member',
    sql: 'grant freehold_mover to freehold_app',
    object: /freehold_app/,
    undo: 'revoke freehold_mover from freehold_app',
  },
  {
    check: 'app-role-member',
    sql: 'grant freehold_control to freehold_app',
    object: /freehold_app/,
    undo: 'revoke freehold_control from freehold_app',
  },
  {
    check: 'app-role-settings',
    sql: `alter role freehold_app set log_parameter_max_length_on_error = -1; alter role freehold_app set default_transaction_read_only = on`,
    object: /freehold_app/,
    severity: 'blocking',
    undo: 'alter role freehold_app reset all',
  },
  {
    check: 'table-rule',
    sql: 'create rule leaking as on insert to customers do also notify leaked',
    object: /customers/,
  },
  {
    check: 'shared-functions',
    sql: 'grant execute on function pg_terminate_backend(integer, bigint) to public',
    object: /^pg_terminate_backend$/,
    severity: 'blocking',
  },
]
