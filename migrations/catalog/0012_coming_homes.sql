-- A router that knows beforehand how a tenant will be entered at its next home need not ask while its requests wait. Also on the way
-- back, where the next home is the one that the tenant has left.
drop view catalog.coming_databases;

create view catalog.coming_homes as
  select
    operations.tenant_id, home.epoch + 1 as epoch, coming.isolation, coming.schema_name,
    data_databases.id as data_database_id, data_databases.name as database_name,
    clusters.region_id, clusters.host, clusters.port, clusters.tls, clusters.app_secret
  from catalog.operations
  join catalog.placements home on home.tenant_id = operations.tenant_id and home.until is null
  cross join lateral (
    select target.id, operations.target_isolation, operations.target_schema
    from catalog.data_databases target
    where home.epoch = operations.source_epoch
      and target.cluster_id = operations.target_cluster_id and target.name = operations.target_database_name
    union all
    select source.data_database_id, source.isolation, source.schema_name
    from catalog.placements source
    where home.epoch = operations.source_epoch + 1
      and source.tenant_id = operations.tenant_id and source.epoch = operations.source_epoch
  ) coming (data_database_id, isolation, schema_name)
  join catalog.data_databases on data_databases.id = coming.data_database_id
  join catalog.clusters on clusters.id = data_databases.cluster_id
  where operations.finished_at is null;
comment on view catalog.coming_homes is
  'Where each tenant that is being moved will live next, and at which epoch, so that a router is ready before it does.';
grant select on catalog.coming_homes to freehold_reader;
