-- Where the log cannot be had, triggers note the changes of a moving tenant: a resource like the others.
alter table catalog.cleanup_ledger drop constraint ledger_kind_is_known;
alter table catalog.cleanup_ledger add constraint ledger_kind_is_known
  check (kind in ('database', 'schema', 'tenant_rows', 'publication', 'replication_slot', 'change_triggers'));
