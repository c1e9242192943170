-- Which rows of a moving tenant have changed, where the server's log cannot say so. Not what is in them: whoever
-- carries them over reads them, as the tenant.
set local search_path = pg_catalog, pg_temp;

create type freehold.change_kind as enum ('row', 'truncate', 'unknown');
comment on type freehold.change_kind is
  'row: a row came, went or changed. truncate: all rows of the table went, of every tenant. unknown: the key of a row could '
  'not be told, because the table is no longer what it was when it began to be followed.';

create table freehold.change (
  stream text not null,
  tenant_id text not null,
  relation text not null,
  kind freehold.change_kind not null,
  key text[]
)
-- Rows come and go, and what is gone must not be read over again and again.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000);
comment on table freehold.change is
  'The rows that have changed since they were last carried over by a move that follows its tenant with triggers. Written in '
  'the transaction of the change; deleted once the target has them. A row that is named twice is carried over once.';
comment on column freehold.change.stream is 'Whose changes these are: a move, and the lease under which it began to follow.';
comment on column freehold.change.key is
  'The row''s primary key as text, in the key''s order. Of a key that changes, both are here.';
create index change_by_stream on freehold.change (stream);
alter table freehold.change enable row level security;
create policy followed_tenant_only on freehold.change to freehold_mover
  using (tenant_id = (select entered.tenant_id from freehold.entered));
grant select, delete on freehold.change to freehold_mover;

create function freehold.exact_key(changed record, expression text) returns text[]
  language plpgsql stable set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, YMD' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1
  set bytea_output = 'hex' set lc_monetary = 'C'
as $$
declare
  key text[];
begin
  execute expression into key using changed;
  return key;
end
$$;
comment on function freehold.exact_key(record, text) is
  'A row''s key as text without loss, whatever the session that changes it is set to.';
revoke execute on function freehold.exact_key(record, text) from public;

create function freehold.record_change() returns trigger
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  former text[];
  latter text[];
begin
  if tg_op = 'TRUNCATE' then
    insert into freehold.change (stream, tenant_id, relation, kind)
    values (tg_argv[0], tg_argv[1], tg_argv[2], 'truncate');
    return null;
  end if;
  begin
    if tg_argv[5] = 'exact' then
      if tg_op <> 'INSERT' then former := freehold.exact_key(old, tg_argv[3]); end if;
      if tg_op <> 'DELETE' then latter := freehold.exact_key(new, tg_argv[3]); end if;
    else
      if tg_op <> 'INSERT' then execute tg_argv[3] into former using old; end if;
      if tg_op <> 'DELETE' then execute tg_argv[3] into latter using new; end if;
    end if;
  exception when others then
    -- Nobody's write may fail because somebody has renamed a column while a tenant moves. The move ends instead.
    insert into freehold.change (stream, tenant_id, relation, kind)
    values (tg_argv[0], tg_argv[1], tg_argv[2], 'unknown');
    return null;
  end;
  -- A row that changes its tenant has one key here and one that is none of this tenant's business.
  if former[tg_argv[4]::integer] = tg_argv[1] then
    insert into freehold.change (stream, tenant_id, relation, kind, key)
    values (tg_argv[0], tg_argv[1], tg_argv[2], 'row', former);
  end if;
  if latter[tg_argv[4]::integer] = tg_argv[1] and latter is distinct from former then
    insert into freehold.change (stream, tenant_id, relation, kind, key)
    values (tg_argv[0], tg_argv[1], tg_argv[2], 'row', latter);
  end if;
  return null;
end
$$;
comment on function freehold.record_change() is
  'Notes the key of a row that came, went or changed. Its arguments: the stream, the tenant, the table, the expression of '
  'its key ($1 is the row), where in the key the tenant is, and whether the key looks as the session is set to (exact). '
  'Runs with the owner''s rights: whoever changes a row may not see what is noted of it.';
revoke execute on function freehold.record_change() from public;
