-- The schema `freehold` of a data database: who lives here, and how work as a tenant begins.
-- Runs as freehold_owner, who owns every object and whose rights the entry functions carry.
-- What is named here without a schema is PostgreSQL's own, whatever others have put into the schemas that they may
-- write to: a function of theirs, bound into what follows, would run with the owner's rights.
set local search_path = pg_catalog, pg_temp;

create schema freehold;
comment on schema freehold is
  'Freehold''s side of a data database: which tenants live here, and the only way in.';
grant usage on schema freehold to freehold_app, freehold_mover;

create type freehold.residency_state as enum ('standby', 'frozen', 'active', 'fenced', 'sealed', 'moved');
comment on type freehold.residency_state is
  'active: reads and writes. fenced: reads; writes are held until the fence expires. sealed, frozen: reads; '
  'writes are held. standby, moved: nobody enters.';

create table freehold.tenant_schema (
  schema_name name primary key,
  constraint tenant_schema_is_its_own check (schema_name not in ('public', 'freehold') and schema_name !~ '^pg_')
);
comment on table freehold.tenant_schema is
  'Schemas that belong to one tenant each, with the product''s tables for it alone. Tables in all other schemas are '
  'shared. Declared before its tables are made, because protect_table() tells by it which kind a table is.';
grant select on freehold.tenant_schema to freehold_mover;

create table freehold.resident (
  tenant_id text not null,
  schema_name name,
  epoch bigint not null,
  entry_digest bytea not null,
  state freehold.residency_state not null,
  fence_token uuid,
  fence_expires_at timestamptz,
  claimed_by uuid,
  claim_token bigint,
  constraint one_residency_per_schema unique nulls not distinct (tenant_id, schema_name),
  constraint schema_has_one_tenant unique (schema_name),
  constraint schema_is_declared foreign key (schema_name) references freehold.tenant_schema (schema_name),
  constraint epoch_is_positive check (epoch > 0),
  constraint entry_digest_is_sha256 check (octet_length(entry_digest) = 32),
  constraint entry_digest_names_one_tenant unique (entry_digest),
  constraint fence_has_a_token_and_an_expiry
    check ((state in ('fenced', 'sealed')) = (fence_token is not null)
       and (state = 'fenced') = (fence_expires_at is not null)),
  constraint claim_has_a_token check ((claimed_by is null) = (claim_token is null))
)
-- A few rows a page. Every statement looks its tenant up twice, at the entry and for row security; where some hundred
-- tenants fit into a handful of pages, the planner would read them all rather than use an index. It costs 1.5 kB a
-- tenant, and leaves room to change a state within its page.
with (fillfactor = 10);
comment on table freehold.resident is 'The tenants that live here. No row means no entry.';
comment on column freehold.resident.tenant_id is 'The tenant column''s value as text, whatever its type.';
comment on column freehold.resident.schema_name is
  'The tenant''s own schema; null: it lives in the shared tables. Entered there, it sees and writes the tables of '
  'that schema only, and found by their bare names.';
comment on column freehold.resident.epoch is 'The placement''s epoch; entry at any other epoch is refused.';
comment on column freehold.resident.entry_digest is
  'SHA-256 of the entry key of this tenant at this epoch. Row security recognises a tenant by its key, which '
  'cannot be guessed, and not by its id, which any SQL could set.';
comment on column freehold.resident.fence_token is 'The cutover attempt that fenced or sealed the tenant.';
comment on column freehold.resident.fence_expires_at is
  'By this server''s clock; from then on a fenced tenant counts as active.';
comment on column freehold.resident.claimed_by is 'The move that switches the tenant away from here.';
comment on column freehold.resident.claim_token is
  'The newest lease of that move under which a worker has come to switch. Only that worker can fence the tenant: one that '
  'was slow cannot begin an attempt after its successor has found that there was none.';
grant select, insert, update, delete on freehold.resident to freehold_mover;

-- security_barrier: without it a function in the caller's query could be evaluated before the digest is
-- compared, and would see the other tenants' rows. Row security evaluates it in every query, so the digest is no subquery,
-- which would cost as much again as finding the row; where the planner reads the table from end to end, it has few rows.
create view freehold.entered with (security_barrier) as
  select resident.tenant_id, resident.schema_name
  from freehold.resident
  where resident.entry_digest = sha256(convert_to(current_setting('freehold.entry', true), 'UTF8'));
comment on view freehold.entered is
  'The tenant that this transaction has entered as: the one whose entry key it holds. No key, no row.';
grant select on freehold.entered to freehold_app, freehold_mover;

create function freehold.current_tenant() returns text
  language sql stable parallel safe
  return (select entered.tenant_id from freehold.entered);
comment on function freehold.current_tenant() is 'The entered tenant, as text; null outside a tenant.';

-- One expression without a query, so that the planner puts it in place of the call: looking the tenant up for every
-- insert would cost more than the insert's other work.
create function freehold.tenant_to_write() returns text
  language sql stable parallel safe
  return nullif(current_setting('freehold.tenant_id', true), '');
comment on function freehold.tenant_to_write() is
  'The tenant as which enter_writer() has let this transaction in: the tenant column''s default. Any SQL can set it to '
  'another, so it proves nothing; row security compares what it fills in with the tenant whose key is held.';

create function freehold.lock_key(tenant text) returns bigint
  language sql immutable strict parallel safe
  return hashtextextended(tenant, 5067264);
comment on function freehold.lock_key(text) is
  'The key of the tenant''s advisory lock: writers share it, a cutover takes it alone. Two tenants on one key '
  'would only wait for each other''s cutover.';

create function freehold.session_holds_lock(tenant text) returns boolean
  language sql volatile strict parallel restricted
  return exists (
    select from pg_locks held
    where held.locktype = 'advisory' and held.pid = pg_backend_pid() and held.granted and held.objsubid = 1
      and ((held.classid::bigint << 32) | held.objid::bigint) = freehold.lock_key(tenant)
  );
comment on function freehold.session_holds_lock(text) is
  'Whether this session holds the tenant''s advisory lock, shared or exclusive.';

-- Entry is on the path of every query, so each function reads one row of one table, and neither has a SET clause, which
-- would save and restore settings. The residency is found by the key's digest, whose bytes are quicker to compare than
-- text under a collation; that the key implies the epoch, and so does its digest, leaves no epoch to compare. What an
-- expression without a query makes, PL/pgSQL evaluates without the executor. Every name is qualified, those of types as
-- well, because they run with the owner's rights.
create function freehold.enter_reader(entry_key text) returns void
  -- Stable: it reads with the statement's own snapshot, rather than have one made for each of its queries.
  language plpgsql stable security definer
as $$
declare
  own_schema pg_catalog.name;
  ignored pg_catalog.text;
begin
  select resident.schema_name into own_schema
  from freehold.resident
  where resident.entry_digest operator(pg_catalog.=)
        pg_catalog.sha256(pg_catalog.convert_to(entry_key, 'UTF8'))
    and resident.state operator(pg_catalog.<>) 'standby'
    and resident.state operator(pg_catalog.<>) 'moved';
  if not found then
    raise exception using errcode = 'FH001', message = 'the tenant is not resident here at this epoch';
  end if;
  ignored := pg_catalog.set_config('freehold.entry', entry_key, true);
  ignored := pg_catalog.set_config('transaction_read_only', 'on', true);
  if own_schema is not null then
    ignored := pg_catalog.set_config('search_path',
      pg_catalog.quote_ident(own_schema) operator(pg_catalog.||) ', public', true);
  end if;
end
$$;
comment on function freehold.enter_reader(text) is
  'Begins a read-only transaction as the tenant and at the epoch whose entry key this is. Takes no lock. SQLSTATE FH001: '
  'not resident here at this epoch.';

create function freehold.enter_writer(tenant text, entry_key text) returns void
  language plpgsql volatile security definer
as $$
declare
  own_schema pg_catalog.name;
  is_open pg_catalog.bool;
  ignored pg_catalog.text;
begin
  if pg_catalog.current_setting('transaction_isolation') operator(pg_catalog.=) any
      (array['repeatable read', 'serializable'])
    and not freehold.session_holds_lock(tenant) then
    raise exception using errcode = 'active_sql_transaction',
      message = 'a transaction with one snapshot needs the tenant''s lock before it begins',
      hint = 'Take pg_try_advisory_lock_shared(freehold.lock_key(tenant)) first, or use READ COMMITTED.';
  end if;
  -- The lock comes first, and the residency is read by a later statement with a fresh snapshot, for which the function is
  -- volatile: checked the other way round, a fence could fall between the check and the lock. Tried and never waited for:
  -- a held tenant must not occupy connections.
  if not pg_catalog.pg_try_advisory_xact_lock_shared(freehold.lock_key(tenant)) then
    raise exception using errcode = 'FH002', message = 'the tenant is being switched to another placement';
  end if;
  -- The key alone says who enters; it must be the tenant whose lock was taken.
  select resident.schema_name,
    resident.state operator(pg_catalog.=) 'active'
      or resident.state operator(pg_catalog.=) 'fenced'
        and resident.fence_expires_at operator(pg_catalog.<=) pg_catalog.clock_timestamp()
  into own_schema, is_open
  from freehold.resident
  where resident.entry_digest operator(pg_catalog.=)
        pg_catalog.sha256(pg_catalog.convert_to(entry_key, 'UTF8'))
    and pg_catalog.texteq(resident.tenant_id, tenant)
    and resident.state operator(pg_catalog.<>) 'standby'
    and resident.state operator(pg_catalog.<>) 'moved';
  if not found then
    raise exception using errcode = 'FH001', message = 'the tenant is not resident here at this epoch';
  end if;
  if is_open is not true then
    raise exception using errcode = 'FH002', message = 'the tenant is being switched to another placement';
  end if;
  ignored := pg_catalog.set_config('freehold.entry', entry_key, true);
  ignored := pg_catalog.set_config('freehold.tenant_id', tenant, true);
  if own_schema is not null then
    ignored := pg_catalog.set_config('search_path',
      pg_catalog.quote_ident(own_schema) operator(pg_catalog.||) ', public', true);
  end if;
end
$$;
comment on function freehold.enter_writer(text, text) is
  'Begins a transaction as a tenant, at the epoch whose entry key this is, and holds the tenant''s shared lock until it '
  'ends. SQLSTATE FH001: not resident here at this epoch; FH002: held for a cutover. Under REPEATABLE READ and '
  'SERIALIZABLE the snapshot would be older than the lock, so there the session must hold the lock before the '
  'transaction begins: 25001.';

revoke execute on function freehold.enter_reader(text) from public;
revoke execute on function freehold.enter_writer(text, text) from public;
grant execute on function freehold.enter_reader(text) to freehold_app;
grant execute on function freehold.enter_writer(text, text) to freehold_app;

create table freehold.applied (
  stream text primary key,
  fencing_token bigint not null,
  lsn pg_lsn not null default '0/0',
  updated_at timestamptz not null default clock_timestamp(),
  constraint fencing_token_is_positive check (fencing_token > 0)
);
comment on table freehold.applied is
  'How far the changes of a move''s stream are applied here. Written in the transaction that applies them, so a '
  'change is applied once however often it is sent.';
comment on column freehold.applied.fencing_token is
  'The lease of the worker that may write here. Every transaction of a move locks or updates this row for its '
  'own token, so a worker whose lease was taken writes nothing any more.';
grant select, insert, update, delete on freehold.applied to freehold_mover;
