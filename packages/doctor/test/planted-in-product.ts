import { EVERY_TRIAL, type Planted } from './planted.ts'
import { protect } from './shop-database.ts'

const notes = `create table notes (tenant_id uuid not null, id int not null, body text, primary key (tenant_id, id));`
const bare = `${notes} alter table notes owner to shop_owner;`

/** In the database of a product without Freehold. */
export const plantedInProduct: readonly Planted[] = [
  {
    check: 'rls-disabled',
    sql: `${bare} grant select, insert, update, delete on notes to shop_app;`,
    object: /^public\.notes$/,
    also: EVERY_TRIAL,
  },
  {
    check: 'rls-disabled',
    sql: 'alter table visits_old disable row level security',
    object: /^public\.visits_old$/,
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
    also: EVERY_TRIAL,
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
    check: 'undeclared-table',
    sql: 'create table logs (id int primary key); grant select on logs to shop_app',
    object: /logs/,
    mended: false,
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
    sql: 'grant execute on function pg_terminate_backend(integer, bigint), ts_stat(text) to public',
    object: /^ts_stat$/,
    severity: 'advisory',
  },
]
