-- A tenant's own schema in a pool is a resource that operations make and remove, as a database is.
alter table catalog.cleanup_ledger drop constraint ledger_kind_is_known;
alter table catalog.cleanup_ledger add constraint ledger_kind_is_known
  check (kind in ('database', 'schema', 'publication', 'replication_slot'));
