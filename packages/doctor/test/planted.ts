import { protect } from './shop-database.ts'

/** A defect, and what the doctor has to say of it. */
export interface Planted {
  readonly check: string
  readonly sql: string
  readonly object: RegExp
  readonly severity?: 'blocking' | 'advisory'
  /** Further checks that have to notice it. */
  readonly also?: readonly string[]
  /** False: SQL cannot mend it. */
  readonly mended?: false
  readonly appRole?: string
  /** Roles are of the cluster, and not of the copy. */
  readonly undo?: string
  /** Planted in a database of Freehold instead. */
  readonly inFreehold?: true
}

const EVERY_TRIAL = [
  'read',
  'copy',
  'update',
  'delete',
  'insert',
  'reassign',
  'upsert',
  'read-without-tenant',
]

const notes = `create table notes (tenant_id uuid not null, id int not null, body text, primary key (tenant_id, id));`
const bare = `${notes} alter table notes owner to shop_owner;`

export const planted: readonly Planted[] = [
  {
    check: 'rls-disabled',
    sql: `${bare} grant select, insert, update, delete on notes to shop_app;`,
    object: /^public\.notes$/,
    also: EVERY_TRIAL.map((name) => `trial-${name}`),
  },
  {
    check: 'rls-disabled',
    sql: 'alter table visits_old disable row level security',
    object: /^public\.visits_old$/,
  },
  {
    check: 'rls-disabled',
    sql: 'alter table customers disable row level security',
    object: /^public\.customers$/,
    also: EVERY_TRIAL.map((name) => `trial-${name}`),
    inFreehold: true,
  },
  { check: 'rls-not-forced', sql: 'alter table accounts no force row level security', object: /accounts/ },
  {
    check: 'policy-missing',
    sql: 'drop policy own on accounts',
    object: /accounts/,
    also: ['trial-not-tried'],
  },
  {
    check: 'policy-always-true',
    sql: 'create policy open on accounts using (true)',
    object: /accounts/,
    also: EVERY_TRIAL.map((name) => `trial-${name}`),
  },
  {
    check: 'policy-always-true',
    sql: `drop policy own on accounts; create policy own on accounts using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (true)`,
    object: /accounts/,
    also: ['trial-insert'],
  },
  {
    check: 'policy-widens',
    sql: `create policy shared on accounts for select using (name <> 'secret')`,
    object: /accounts/,
    also: ['policy-for-public', 'trial-read', 'trial-copy'],
  },
  {
    check: 'policy-widens',
    sql: `create policy wrong on accounts to shop_app using (tenant_id = tenant_id or name = 'x')`,
    object: /accounts/,
    also: ['trial-read'],
  },
  {
    check: 'policy-for-public',
    sql: `create policy shared on accounts for select using (name <> 'secret')`,
    object: /accounts/,
  },
  {
    check: 'policy-defeats-index',
    sql: `alter policy own on accounts using (tenant_id::text = current_setting('app.tenant_id', true)) with check (tenant_id::text = current_setting('app.tenant_id', true))`,
    object: /accounts/,
  },
  {
    check: 'policy-casts-setting',
    sql: `alter policy own on accounts using (tenant_id = current_setting('app.tenant_id', true)::uuid)`,
    object: /accounts/,
  },
  { check: 'policy-trusts-setting', sql: 'select', object: /^app\.tenant_id$/, mended: false },
  {
    check: 'policy-not-freehold',
    sql: `alter policy freehold_tenant on customers using (tenant_id = nullif(current_setting('freehold.tenant_id', true), '')::uuid)`,
    object: /customers/,
    inFreehold: true,
  },
  {
    check: 'policy-not-freehold',
    sql: `drop policy freehold_tenant on customers`,
    object: /customers/,
    inFreehold: true,
  },
  {
    check: 'policy-not-freehold',
    sql: `alter policy freehold_tenant on customers with check (tenant_id = (select tenant_id from freehold.entered)::uuid)`,
    object: /customers/,
    inFreehold: true,
  },
  {
    check: 'policy-not-freehold',
    sql: `drop policy freehold_delete on customers`,
    object: /customers/,
    inFreehold: true,
  },
  {
    check: 'policy-not-freehold',
    sql: `alter policy freehold_delete on customers using (true)`,
    object: /customers/,
    inFreehold: true,
  },
  {
    check: 'policy-widens',
    sql: 'create policy more on customers for select using (newsletter)',
    object: /customers/,
    inFreehold: true,
  },
  {
    check: 'undeclared-table',
    sql: 'create table logs (id int primary key); grant select on logs to shop_app',
    object: /logs/,
    mended: false,
  },
  {
    check: 'undeclared-table',
    sql: 'create table logs (id int primary key); grant select on logs to freehold_app',
    object: /logs/,
    severity: 'blocking',
    inFreehold: true,
  },
  {
    check: 'shared-table-writable',
    sql: 'grant insert, delete on countries to shop_app',
    object: /countries/,
  },
  {
    check: 'tenant-column-nullable',
    sql: `create table memos (tenant_id uuid, id uuid primary key); create index on memos (tenant_id); alter table memos owner to shop_owner; ${protect('memos')}`,
    object: /memos/,
  },
  {
    check: 'app-role-superuser',
    sql: `create role shop_root superuser`,
    object: /shop_root/,
    appRole: 'shop_root',
    undo: 'drop role shop_root',
  },
  {
    check: 'app-role-bypassrls',
    sql: 'alter role shop_app bypassrls',
    object: /shop_app/,
    undo: 'alter role shop_app nobypassrls',
    also: ['trial-read'],
  },
  {
    check: 'app-role-replication',
    sql: 'alter role shop_app replication',
    object: /shop_app/,
    undo: 'alter role shop_app noreplication',
  },
  {
    check: 'app-role-creates',
    sql: 'alter role shop_app createrole',
    object: /shop_app/,
    undo: 'alter role shop_app nocreaterole',
  },
  { check: 'app-role-owns', sql: 'alter table accounts owner to shop_app', object: /accounts/ },
  { check: 'app-role-owns', sql: 'create schema authorization shop_app', object: /^schema shop_app$/ },
  {
    check: 'app-role-member',
    sql: 'grant shop_owner to shop_app',
    object: /shop_app/,
    undo: 'revoke shop_owner from shop_app',
  },
  {
    check: 'app-role-member',
    sql: 'create role shop_between; grant postgres to shop_between; grant shop_between to shop_app',
    object: /shop_app/,
    undo: 'drop role shop_between',
  },
  {
    check: 'app-role-schema-create',
    sql: 'grant create on schema public to public',
    object: /^schema public$/,
  },
  {
    check: 'app-role-settings',
    sql: `alter role shop_app set search_path = other, public`,
    object: /shop_app/,
    undo: 'alter role shop_app reset search_path',
  },
  {
    check: 'app-role-settings',
    sql: `do $$ begin execute format('alter database %I set row_security = off', current_database()); end $$`,
    object: /^database /,
  },
  {
    check: 'app-role-table-rights',
    sql: 'grant truncate, references, trigger on accounts to shop_app',
    object: /accounts/,
  },
  {
    check: 'app-role-table-rights',
    sql: 'grant truncate on customers to freehold_app',
    object: /customers/,
    inFreehold: true,
  },
  { check: 'public-table-rights', sql: 'grant select on accounts to public', object: /accounts/ },
  {
    check: 'default-rights',
    sql: 'alter default privileges for role shop_owner grant select on tables to shop_app',
    object: /shop_owner/,
  },
  {
    check: 'view-not-invoker',
    sql: 'create view everybody as select tenant_id, name from accounts; grant select on everybody to shop_app',
    object: /everybody/,
    severity: 'blocking',
    also: ['trial-view'],
  },
  {
    check: 'view-not-invoker',
    sql: 'set role shop_owner; create view named as select tenant_id, name from accounts; create view twice as select * from named; grant select on twice to shop_app',
    object: /twice/,
    severity: 'advisory',
  },
  {
    check: 'matview-readable',
    sql: 'create materialized view names as select tenant_id, name from accounts; grant select on names to shop_app',
    object: /names/,
  },
  {
    check: 'definer-search-path',
    sql: `set role shop_owner; create function total() returns bigint language sql security definer as 'select count(*) from accounts'`,
    object: /total/,
  },
  {
    check: 'definer-function',
    sql: `create function total() returns bigint language sql security definer set search_path = public as 'select count(*) from accounts'`,
    object: /total/,
    severity: 'blocking',
  },
  {
    check: 'leakproof-function',
    sql: `create function peek(text) returns boolean language plpgsql leakproof cost 0.001 as $$ begin raise notice '%', $1; return true; end $$`,
    object: /peek/,
  },
  {
    check: 'foreign-key-crosses',
    sql: `create table parts (tenant_id uuid not null, id bigint not null unique, primary key (tenant_id, id));
      create table uses (tenant_id uuid not null, id int not null, part bigint references parts (id) on delete set null, primary key (tenant_id, id));
      alter table parts owner to shop_owner; alter table uses owner to shop_owner; ${protect('parts')} ${protect('uses')}`,
    object: /uses_part_fkey/,
    also: ['trial-reference'],
  },
  {
    check: 'unique-without-tenant',
    sql: 'alter table accounts add unique (email)',
    object: /accounts_email_key/,
    severity: 'blocking',
  },
  {
    check: 'unique-without-tenant',
    sql: 'create unique index accounts_once on accounts (lower(email)) where discount > 0',
    object: /accounts_once/,
    severity: 'blocking',
  },
  {
    check: 'unique-without-tenant',
    sql: `create table memos (tenant_id uuid not null, id uuid primary key); create index on memos (tenant_id);
      create table replies (tenant_id uuid not null, id uuid, memo uuid references memos, primary key (tenant_id, id));
      alter table memos owner to shop_owner; alter table replies owner to shop_owner; ${protect('memos')} ${protect('replies')}`,
    object: /memos_pkey/,
    severity: 'advisory',
    also: ['foreign-key-crosses'],
  },
  {
    check: 'tenant-not-leading',
    sql: `create table memos (tenant_id uuid not null, id int not null, primary key (id, tenant_id)); alter table memos owner to shop_owner; ${protect('memos')}`,
    object: /memos/,
  },
  {
    check: 'sequence-rights',
    sql: 'grant all on sequence accounts_ticket_seq to shop_app',
    object: /accounts_ticket_seq/,
  },
  {
    check: 'publication-of-all-tables',
    sql: 'create publication everything for all tables',
    object: /everything/,
  },
  {
    check: 'large-objects',
    sql: 'grant execute on function lo_get(oid), lo_from_bytea(oid, bytea) to public',
    object: /large objects/,
    severity: 'advisory',
  },
  {
    check: 'large-objects',
    sql: 'grant execute on function lo_get(oid) to public',
    object: /large objects/,
    severity: 'blocking',
    inFreehold: true,
  },
  {
    check: 'settings-view-writable',
    sql: 'grant update on pg_settings to public',
    object: /pg_settings/,
    severity: 'blocking',
    inFreehold: true,
  },
  {
    check: 'settings-view-writable',
    sql: 'grant update on pg_settings to public',
    object: /pg_settings/,
    severity: 'advisory',
  },
  {
    check: 'foreign-table',
    sql: `create foreign data wrapper nothing; create server elsewhere foreign data wrapper nothing;
      create foreign table remote (tenant_id uuid) server elsewhere; grant select on remote to shop_app`,
    object: /remote/,
  },
  {
    check: 'foreign-server',
    sql: `create foreign data wrapper nothing; create server elsewhere foreign data wrapper nothing; grant usage on foreign server elsewhere to shop_app`,
    object: /elsewhere/,
  },
  {
    check: 'event-trigger',
    sql: `create function watch() returns event_trigger language plpgsql as 'begin end'; create event trigger watching on ddl_command_end execute function watch()`,
    object: /watching/,
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
    inFreehold: true,
  },
  {
    check: 'freehold-schema',
    sql: `create or replace view freehold.entered with (security_barrier) as
      select resident.tenant_id, resident.schema_name from freehold.resident
      where resident.entry_digest = (select sha256(convert_to(current_setting('freehold.entry', true), 'UTF8')))
        or tenant_id = current_setting('x.backdoor', true)`,
    object: /^view freehold\.entered$/,
    inFreehold: true,
  },
  {
    check: 'freehold-schema',
    sql: `create function public.convert_to(text, name) returns bytea language sql immutable as 'select pg_catalog.convert_to($1, $2)';
      create or replace view freehold.entered with (security_barrier) as
      select resident.tenant_id, resident.schema_name from freehold.resident
      where resident.entry_digest = (select sha256(public.convert_to(current_setting('freehold.entry', true), 'UTF8')))`,
    object: /^view freehold\.entered$/,
    inFreehold: true,
  },
  {
    check: 'freehold-schema',
    sql: 'alter view freehold.entered set (security_barrier = false)',
    object: /^view freehold\.entered$/,
    inFreehold: true,
  },
  {
    check: 'freehold-schema',
    sql: 'alter view freehold.entered owner to postgres',
    object: /^view freehold\.entered$/,
    inFreehold: true,
  },
  {
    check: 'freehold-schema',
    sql: `create or replace function freehold.enter_reader(entry_key text) returns void
      language sql security definer as 'select'`,
    object: /^function freehold\.enter_reader/,
    inFreehold: true,
  },
  {
    check: 'freehold-schema',
    sql: `create function freehold.peek() returns setof text language sql security definer set search_path = pg_catalog
      as 'select tenant_id from freehold.resident'`,
    object: /^function freehold\.peek/,
    inFreehold: true,
    also: ['definer-function', 'freehold-rights'],
  },
  {
    check: 'freehold-schema',
    sql: 'create view freehold.v as select * from customers; grant select on freehold.v to freehold_app',
    object: /^view freehold\.v$/,
    inFreehold: true,
    also: ['view-not-invoker', 'freehold-rights'],
  },
  {
    check: 'freehold-schema',
    sql: `create materialized view freehold_migrations.m as select * from customers;
      grant usage on schema freehold_migrations to freehold_app; grant select on freehold_migrations.m to freehold_app`,
    object: /^materialized view freehold_migrations\.m$/,
    inFreehold: true,
    also: ['matview-readable', 'freehold-rights'],
  },
  {
    check: 'freehold-schema',
    sql: `create function public.yes() returns trigger language plpgsql as 'begin return new; end';
      create trigger watching before insert on freehold.resident execute function public.yes()`,
    object: /^table freehold\.resident$/,
    inFreehold: true,
    mended: false,
  },
  {
    check: 'freehold-schema',
    sql: 'alter table freehold.resident drop constraint entry_digest_names_one_tenant',
    object: /^table freehold\.resident$/,
    inFreehold: true,
    mended: false,
  },
  {
    check: 'freehold-schema',
    sql: `create cast (freehold.table_kind as text) with inout`,
    object: /^cast /,
    inFreehold: true,
  },
  {
    check: 'freehold-rights',
    sql: 'grant select, insert, update on freehold.resident to freehold_app',
    object: /^table freehold\.resident$/,
    inFreehold: true,
  },
  {
    check: 'freehold-rights',
    sql: 'grant select (tenant_id) on freehold.resident to public',
    object: /^table freehold\.resident$/,
    inFreehold: true,
  },
  {
    check: 'freehold-rights',
    sql: 'create view residents as select * from freehold.resident; grant update on residents to freehold_app',
    object: /^view public\.residents$/,
    inFreehold: true,
  },
  {
    check: 'freehold-rights',
    sql: 'grant execute on function freehold.protect_table(regclass, name) to freehold_app',
    object: /protect_table/,
    inFreehold: true,
  },
  {
    check: 'freehold-rights',
    sql: 'grant create on schema freehold to freehold_app',
    object: /^schema freehold$/,
    inFreehold: true,
    also: ['app-role-schema-create'],
  },
  {
    check: 'app-role-member',
    sql: 'grant freehold_mover to freehold_app',
    object: /freehold_app/,
    undo: 'revoke freehold_mover from freehold_app',
    inFreehold: true,
  },
  {
    check: 'app-role-member',
    sql: 'grant freehold_control to freehold_app',
    object: /freehold_app/,
    undo: 'revoke freehold_control from freehold_app',
    inFreehold: true,
  },
  {
    check: 'app-role-settings',
    sql: `alter role freehold_app set log_parameter_max_length_on_error = -1; alter role freehold_app set default_transaction_read_only = on`,
    object: /freehold_app/,
    severity: 'blocking',
    undo: 'alter role freehold_app reset all',
    inFreehold: true,
  },
  {
    check: 'table-rule',
    sql: 'create rule leaking as on insert to customers do also notify leaked',
    object: /customers/,
    inFreehold: true,
  },
  {
    check: 'table-rule',
    sql: 'create rule leaking as on update to accounts do also notify leaked',
    object: /accounts/,
  },
  {
    check: 'shadowing-object',
    sql: `create role shop_mallory; grant create on schema public to shop_mallory; set role shop_mallory;
      create function public.convert_to(text, text) returns bytea language sql immutable as $$ select pg_catalog.convert_to($1, 'UTF8') $$;
      create function public.same(uuid, text) returns boolean language sql immutable as 'select true';
      create operator public.= (leftarg = uuid, rightarg = text, function = public.same)`,
    object: /^function public\.convert_to/,
  },
  {
    check: 'shared-functions',
    sql: 'grant execute on function pg_terminate_backend(integer, bigint) to public',
    object: /^pg_terminate_backend$/,
    severity: 'blocking',
    inFreehold: true,
  },
  {
    check: 'shared-functions',
    sql: 'grant execute on function pg_terminate_backend(integer, bigint), ts_stat(text) to public',
    object: /^ts_stat$/,
    severity: 'advisory',
  },
]
