-- What a key is good for that SQL has kept, and sets again outside of an entry: it lets through only what a move sees, and
-- nothing where the tenant does not live any more.
set local search_path = pg_catalog, pg_temp;
-- Everybody enters by the table that is changed first. Who is inside ends first, and whoever comes waits meanwhile; rather than that
-- long, this is tried again.
set local lock_timeout = '10s';

alter table freehold.resident add column left_at timestamptz, add column is_open boolean not null default true;
comment on column freehold.resident.left_at is
  'Since when transactions that begin here see nothing of a tenant that has moved. Until it is set they all do: an entered '
  'reader may still be at work, and cannot be told from one that has kept the key.';
comment on column freehold.resident.is_open is
  'Whether writers may be at work, which follows from the state. A unique index has it, so that its change is one of a key: '
  'SELECT ... FOR KEY SHARE of a transaction with an older snapshot fails by it, and not by a fence.';
create unique index resident_is_open on freehold.resident (is_open, entry_digest);
comment on index freehold.resident_is_open is 'Makes a change of is_open one of a key. Nothing is looked up by it.';

create function freehold.mark_is_open() returns trigger
  language plpgsql
as $$
begin
  new.is_open := new.state operator(pg_catalog.=) any (array['active', 'fenced']::freehold.residency_state[]);
  return new;
end
$$;
comment on function freehold.mark_is_open() is 'Has is_open follow from the state.';
-- No generated column: every UPDATE of a state would lock the row as if its key were changed, and a fence would wait for writers.
create trigger mark_is_open before insert or update on freehold.resident for each row
  when (new.is_open <> (new.state = 'active' or new.state = 'fenced')) execute function freehold.mark_is_open();
update freehold.resident set is_open = false, left_at = case when state = 'moved' then clock_timestamp() end
  where state <> 'active' and state <> 'fenced';

-- The cost is said because it is relied upon: a condition that a query puts on the view is looked at beside the digest, the cheaper
-- one first, and what this raises about the rows of others would tell of them.
create function freehold.late_reader(tenant text, state freehold.residency_state, left_at timestamptz) returns text
  language plpgsql stable parallel safe cost 100
as $$
begin
  -- The mover loads and purges as a tenant that nobody may enter.
  if current_user operator(pg_catalog.=) 'freehold_mover'
    or state operator(pg_catalog.=) 'moved'
      and coalesce(left_at operator(pg_catalog.>) pg_catalog.transaction_timestamp(), true) then
    return tenant;
  end if;
  raise exception using errcode = 'FH001', message = 'the tenant is not resident here at this epoch',
    hint = 'This transaction has not entered as the tenant, and holds a key of before it was moved.';
end
$$;
comment on function freehold.late_reader(text, freehold.residency_state, timestamptz) is
  'The tenant, for a transaction that may see the rows of one that nobody enters any more. SQLSTATE FH001 for all others.';

-- What is asked here is asked in every query, and answered by the row that is found anyway. It is no condition of the view:
-- that could be looked at for the rows of others.
create or replace view freehold.entered with (security_barrier) as
  select case when resident.state <> 'standby' and resident.state <> 'moved' then resident.tenant_id
      else freehold.late_reader(resident.tenant_id, resident.state, resident.left_at) end as tenant_id,
    resident.schema_name
  from freehold.resident
  where resident.entry_digest = sha256(convert_to(current_setting('freehold.entry', true), 'UTF8'));

create function freehold.late_writer(tenant text, digest bytea) returns text
  language plpgsql volatile security definer
as $$
declare
  mark freehold.residency_state;
  is_replaced pg_catalog.bool;
begin
  if not pg_catalog.pg_try_advisory_xact_lock_shared(freehold.lock_key(tenant)) then
    raise exception using errcode = 'FH002', message = 'the tenant is being switched to another placement',
      hint = 'This transaction has not entered as the tenant.';
  end if;
  -- With a snapshot of its own, which is younger than the lock, unless the transaction has but one.
  select resident.state, resident.xmax operator(pg_catalog.<>) '0' into mark, is_replaced
  from freehold.resident
  where resident.entry_digest operator(pg_catalog.=) digest;
  if not found or mark operator(pg_catalog.=) any (array['standby', 'moved']::freehold.residency_state[]) then
    raise exception using errcode = 'FH001', message = 'the tenant is not resident here at this epoch',
      hint = 'This transaction has not entered as the tenant.';
  end if;
  if mark operator(pg_catalog.<>) all (array['active', 'fenced']::freehold.residency_state[]) then
    raise exception using errcode = 'FH002', message = 'the tenant is being switched to another placement',
      hint = 'This transaction has not entered as the tenant.';
  end if;
  if is_replaced and pg_catalog.current_setting('transaction_isolation') operator(pg_catalog.=) any
      (array['repeatable read', 'serializable']) then
    -- The mark has been changed since the snapshot. A fence changes no key; the seal does, and that raises 40001 here.
    perform from freehold.resident where resident.entry_digest operator(pg_catalog.=) digest for key share;
  end if;
  return tenant;
end
$$;
comment on function freehold.late_writer(text, bytea) is
  'The tenant, for a transaction that holds its shared lock now and whose mark lets writers in. SQLSTATE FH001: not resident '
  'here at this epoch; FH002: held for a cutover; 40001: switched since the snapshot of the transaction.';
revoke execute on function freehold.late_writer(text, bytea) from public;
grant execute on function freehold.late_writer(text, bytea) to freehold_app, freehold_mover;

-- The lock first, the mark afterwards, as at the entry; but the mark is in a row that the statement found by its snapshot,
-- which is older than the lock. That row is still the mark if no transaction has replaced or deleted it, which its xmax
-- tells: it is read where the row lies, when the expression comes to it. CASE and COALESCE evaluate in their order and no
-- further than they have to. Who has entered holds the lock already, and taking it again asks nobody.
create view freehold.entered_to_write with (security_barrier) as
  select coalesce(
      case
        -- It writes where nobody may, under claims of its own.
        when current_user = 'freehold_mover' then resident.tenant_id
        when not resident.is_open then null
        when pg_try_advisory_xact_lock_shared(freehold.lock_key(resident.tenant_id))
          then case when resident.xmax = '0' then resident.tenant_id end
      end,
      freehold.late_writer(resident.tenant_id, resident.entry_digest)
    ) as tenant_id,
    resident.schema_name
  from freehold.resident
  where resident.entry_digest = sha256(convert_to(current_setting('freehold.entry', true), 'UTF8'));
comment on view freehold.entered_to_write is
  'The tenant as which this transaction may write: the one whose entry key it holds, whose shared lock it holds from here '
  'to its end, and whose mark lets writers in. No key, no row. A key that was kept and set without entering is refused as '
  'late_writer() says.';
grant select on freehold.entered_to_write to freehold_app, freehold_mover;

create function freehold.make_policies(relation regclass, tenant_column name) returns void
  language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  -- Compared with the schema as well: rows that a move has left behind, or not yet brought, belong to nobody's view.
  -- The scalar subquery is evaluated once per query, not per row, and leaves the index on the column usable. The schema is no
  -- condition of it: without statistics the planner could look for that instead, and compute a digest for every resident.
  is_tenant constant text := '%1$I operator(pg_catalog.=) (select case when %2$s.schema_name %3$s'
    ' then %2$s.tenant_id end as tenant_id from freehold.%2$s)::%4$s';
  column_type constant text := freehold.tenant_column_type(relation, tenant_column);
  own_schema text;
  may_see text;
  may_write text;
  partition regclass;
begin
  select format('= %L', tenant_schema.schema_name) into own_schema
  from pg_class class
  join pg_namespace namespace on namespace.oid = class.relnamespace
  join freehold.tenant_schema on tenant_schema.schema_name = namespace.nspname
  where class.oid = relation;
  own_schema := coalesce(own_schema, 'is null');
  may_see := format(is_tenant, tenant_column, 'entered', own_schema, column_type);
  may_write := format(is_tenant, tenant_column, 'entered_to_write', own_schema, column_type);
  for partition in
    select tree.relid from pg_partition_tree(relation) tree
    union all select relation where not exists (select from pg_partition_tree(relation))
  loop
    execute format('drop policy if exists freehold_tenant on %s', partition);
    execute format('create policy freehold_tenant on %s using (%s) with check (%s)', partition, may_see, may_write);
    -- Of a DELETE a policy for all commands asks nothing but USING, which a SELECT is asked as well.
    execute format('drop policy if exists freehold_delete on %s', partition);
    execute format('create policy freehold_delete on %s as restrictive for delete using (%s)', partition, may_write);
  end loop;
end
$$;
comment on function freehold.make_policies(regclass, name) is
  'Makes the policies of a tenant table and of every partition it has now: whose rows are seen, and that only who holds the '
  'lock of a tenant whose mark lets writers in writes them.';
revoke execute on function freehold.make_policies(regclass, name) from public;

create or replace function freehold.protect_table(relation regclass, tenant_column name default 'tenant_id') returns void
  language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  column_type text := freehold.tenant_column_type(relation, tenant_column);
  partition regclass;
  used_sequence regclass;
begin
  if column_type not in (select types.column_type from freehold.tenant_column_types types)
    and exists (select from freehold.resident where not freehold.is_canonical(tenant_id, column_type)) then
    raise exception using errcode = 'check_violation', constraint = 'tenant_id_is_canonical',
      message = format('a resident''s id is not a canonical value of type %s', column_type);
  end if;
  for partition in
    select tree.relid from pg_partition_tree(relation) tree
    union all select relation where not exists (select from pg_partition_tree(relation))
  loop
    execute format('alter table %s enable row level security', partition);
    execute format('alter table %s force row level security', partition);
    execute format('revoke all on %s from public, freehold_app, freehold_mover', partition);
  end loop;
  perform freehold.make_policies(relation, tenant_column);

  execute format('alter table %s alter column %I set default freehold.tenant_to_write()::%s',
    relation, tenant_column, column_type);
  execute format('alter table %s alter column %I set not null', relation, tenant_column);
  perform freehold.open_schema_of(relation);
  execute format('grant select, insert, update, delete on %s to freehold_app, freehold_mover', relation);
  for used_sequence in
    -- What a column owns (serial, identity), and what a default only names.
    select dependency.objid from pg_depend dependency
    join pg_class class on class.oid = dependency.objid and class.relkind = 'S'
    where dependency.refobjid = relation and dependency.refclassid = 'pg_class'::regclass
      and dependency.classid = 'pg_class'::regclass and dependency.deptype in ('a', 'i')
    union
    select dependency.refobjid from pg_attrdef column_default
    join pg_depend dependency on dependency.objid = column_default.oid
      and dependency.classid = 'pg_attrdef'::regclass and dependency.refclassid = 'pg_class'::regclass
    join pg_class class on class.oid = dependency.refobjid and class.relkind = 'S'
    where column_default.adrelid = relation
  loop
    -- Without UPDATE: nobody sets a sequence back under the other tenants. With USAGE, which inserting takes, it can
    -- be seen where the sequence stands, and so how much all tenants together insert.
    execute format('grant usage on sequence %s to freehold_app', used_sequence);
    execute format('grant usage, select, update on sequence %s to freehold_mover', used_sequence);
  end loop;

  insert into freehold.managed_table (relation, kind, tenant_column) values (relation, 'tenant', tenant_column)
  on conflict on constraint managed_table_pkey do update
    set kind = excluded.kind, tenant_column = excluded.tenant_column;
end
$$;

create function freehold.renew_policies() returns void
  language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  managed record;
begin
  for managed in
    select managed_table.relation, managed_table.tenant_column
    from freehold.managed_table
    join pg_class class on class.oid = managed_table.relation and pg_has_role(class.relowner, 'usage')
    join pg_attribute attribute on attribute.attrelid = class.oid and attribute.attname = managed_table.tenant_column
    where managed_table.kind = 'tenant'
    order by class.oid
  loop
    perform freehold.make_policies(managed.relation, managed.tenant_column);
  end loop;
end
$$;
comment on function freehold.renew_policies() is
  'Brings the policies of the tenant tables that the caller owns to what this version makes, and nothing else of them. In '
  'an adopted database the migrations of the product call it, because the tables are theirs.';
revoke execute on function freehold.renew_policies() from public;
select freehold.renew_policies();
