create view catalog.coming_databases as
  select
    operations.tenant_id,
    data_databases.id as data_database_id, data_databases.kind, data_databases.name as database_name,
    clusters.region_id, clusters.host, clusters.port, clusters.tls, clusters.app_secret
  from catalog.operations
  join catalog.data_databases on data_databases.cluster_id = operations.target_cluster_id
    and data_databases.name = operations.target_database_name
  join catalog.clusters on clusters.id = data_databases.cluster_id
  where operations.finished_at is null;
comment on view catalog.coming_databases is
  'To which database each tenant is being moved, so that a router can be connected there before it is the home.';
grant select on catalog.coming_databases to freehold_reader;
