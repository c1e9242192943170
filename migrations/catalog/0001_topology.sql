-- Where data may be: jurisdictions, regions, clusters, databases. Every level repeats its jurisdiction under a
-- composite foreign key, so that "this placement is in the EU" is a fact the database keeps, not a join.

create schema catalog;
comment on schema catalog is 'Freehold''s control database: what is where, who may be where, and what is under way.';
grant usage on schema catalog to freehold_control, freehold_reader;

create table catalog.regions (
  id text primary key,
  jurisdiction text not null,
  name text not null,
  constraint region_is_in_one_jurisdiction unique (id, jurisdiction),
  constraint region_id_is_a_name check (id ~ '^[a-z][a-z0-9-]{0,39}$'),
  constraint jurisdiction_is_a_name check (jurisdiction ~ '^[a-z][a-z0-9-]{0,39}$' and jurisdiction <> 'any')
);
comment on table catalog.regions is 'Places where data may be, each in one jurisdiction.';

create table catalog.clusters (
  id text primary key,
  region_id text not null,
  jurisdiction text not null,
  host text not null,
  port integer not null,
  tls text not null default 'verify-full',
  owner_secret text not null,
  mover_secret text not null,
  app_secret text not null,
  capacity_bytes bigint,
  created_at timestamptz not null default clock_timestamp(),
  constraint cluster_is_in_a_region foreign key (region_id, jurisdiction)
    references catalog.regions (id, jurisdiction),
  constraint cluster_is_in_one_jurisdiction unique (id, jurisdiction),
  constraint cluster_id_is_a_name check (id ~ '^[a-z][a-z0-9-]{0,39}$'),
  constraint port_is_valid check (port between 1 and 65535),
  constraint tls_mode_is_known check (tls in ('disable', 'require', 'verify-full')),
  constraint capacity_is_positive check (capacity_bytes > 0),
  constraint secrets_are_references check (
    owner_secret ~ '^(env|file):.' and mover_secret ~ '^(env|file):.' and app_secret ~ '^(env|file):.')
);
comment on table catalog.clusters is 'Postgres servers that hold tenants'' data.';
comment on column catalog.clusters.owner_secret is 'Where the password of freehold_owner is: env:NAME or file:/path.';
comment on column catalog.clusters.mover_secret is 'Where the password of freehold_mover is.';
comment on column catalog.clusters.app_secret is 'Where the password of freehold_app is.';
comment on column catalog.clusters.capacity_bytes is 'Bytes of tenant data the cluster may hold; null: not limited.';

create table catalog.data_databases (
  id uuid primary key default gen_random_uuid(),
  cluster_id text not null,
  jurisdiction text not null,
  name text not null,
  kind text not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint data_database_is_on_a_cluster foreign key (cluster_id, jurisdiction)
    references catalog.clusters (id, jurisdiction),
  constraint data_database_is_in_one_jurisdiction unique (id, jurisdiction),
  constraint data_database_has_one_kind unique (id, kind),
  constraint database_names_are_unique_on_a_cluster unique (cluster_id, name),
  constraint data_database_kind_is_known check (kind in ('pool', 'silo'))
);
comment on table catalog.data_databases is 'Databases that hold tenants'' rows: a pool many tenants, a silo one.';

create table catalog.tiers (
  id text primary key,
  name text not null,
  isolation text not null,
  constraint tier_id_is_a_name check (id ~ '^[a-z][a-z0-9-]{0,39}$'),
  constraint tier_isolation_is_known check (isolation in ('pool', 'schema', 'silo'))
);
comment on table catalog.tiers is 'Plans, with the isolation that each asks for.';
