-- Which mark has been replaced. An UPDATE of a table with a trigger before it locks the row first, and what it writes has the lock of its
-- own transaction as xmax: so every mark that was ever changed looked as if it had been replaced. Writers of such a tenant looked
-- twice, and those under REPEATABLE READ locked the row of the mark as well. A row that its own transaction has replaced is seen by
-- nobody else.
set local search_path = pg_catalog, pg_temp;
set local lock_timeout = '10s';

create or replace function freehold.late_writer(tenant text, digest bytea) returns text
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
  select resident.state, resident.xmax operator(pg_catalog.<>) '0'
      and resident.xmax operator(pg_catalog.<>) resident.xmin into mark, is_replaced
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

create or replace view freehold.entered_to_write with (security_barrier) as
  select coalesce(
      case
        -- It writes where nobody may, under claims of its own.
        when current_user = 'freehold_mover' then resident.tenant_id
        when not resident.is_open then null
        when pg_try_advisory_xact_lock_shared(freehold.lock_key(resident.tenant_id))
          then case when resident.xmax = '0' or resident.xmax = resident.xmin then resident.tenant_id end
      end,
      freehold.late_writer(resident.tenant_id, resident.entry_digest)
    ) as tenant_id,
    resident.schema_name
  from freehold.resident
  where resident.entry_digest = sha256(convert_to(current_setting('freehold.entry', true), 'UTF8'));
