-- What tells a writer that its tenant's mark has been replaced is the mark's xmax. An UPDATE of a table with a trigger before it locks the
-- row first, and what it writes carries that lock as its xmax: every mark that was ever changed looked replaced. Writers of
-- such a tenant looked at it twice, and those with one snapshot locked it. So the triggers come after; none may come before an UPDATE.
set local search_path = pg_catalog, pg_temp;
-- Nobody who enters waits for this, and it for nobody who has entered: a trigger is replaced, not dropped, and the table is not written
-- anew. Moves do, when they change a mark, and those who are held for a switch with them.
set local lock_timeout = '2s';

-- Not by the name of before: under the former trigger it would run before the UPDATE, and call itself.
create function freehold.set_is_open() returns trigger
  language plpgsql
as $$
begin
  update freehold.resident
  set is_open = resident.state operator(pg_catalog.=) any (array['active', 'fenced']::freehold.residency_state[])
  where resident.entry_digest operator(pg_catalog.=) new.entry_digest;
  return null;
end
$$;
comment on function freehold.set_is_open() is
  'Has is_open follow from the state, by an UPDATE of its own: a trigger before the first one would leave a lock in the mark.';
create or replace trigger mark_is_open after insert or update on freehold.resident for each row
  when (new.is_open <> (new.state = 'active' or new.state = 'fenced')) execute function freehold.set_is_open();
drop function freehold.mark_is_open();

create or replace trigger tenant_id_is_canonical after insert or update of tenant_id on freehold.resident
  for each row execute function freehold.check_tenant_id_is_canonical();

-- Those that look replaced.
update freehold.resident set is_open = is_open where xmax <> '0';
