import {
  cluster,
  dataDatabase,
  endHome,
  ids,
  placement,
  succeed,
  tenant,
  unknown,
  type Violation,
} from './catalog-rows.ts'

/** Regions, clusters, databases, and who lives where. */
export const placeViolations: readonly Violation[] = [
  ['regions_pkey', 'a region twice', "insert into catalog.regions values ('us', 'us', 'Again')"],
  ['region_id_is_a_name', 'an id in capitals', "insert into catalog.regions values ('US', 'us', 'US')"],
  [
    'jurisdiction_is_a_name',
    'a jurisdiction called any',
    "insert into catalog.regions values ('x', 'any', 'X')",
  ],
  ['jurisdiction_is_a_name', 'an empty jurisdiction', "insert into catalog.regions values ('x', '', 'X')"],
  ['clusters_pkey', 'a cluster twice', cluster('us-1', 'us', 'us')],
  ['cluster_id_is_a_name', 'an id with a space', cluster('us 2', 'us', 'us')],
  ['cluster_is_in_a_region', 'an unknown region', cluster('xx-1', 'xx', 'us')],
  ['cluster_is_in_a_region', "another jurisdiction than its region's", cluster('us-2', 'us', 'eu')],
  [
    'cluster_is_in_a_region',
    'a region that changes its jurisdiction under its clusters',
    "update catalog.regions set jurisdiction = 'eu' where id = 'us'",
  ],
  ['port_is_valid', 'port 0', cluster('us-2', 'us', 'us', 0)],
  ['tls_mode_is_known', 'a made-up mode', "update catalog.clusters set tls = 'maybe'"],
  ['capacity_is_positive', 'no capacity', 'update catalog.clusters set capacity_bytes = 0'],
  [
    'secrets_are_references',
    'a plain owner password',
    "update catalog.clusters set owner_secret = 'hunter2'",
  ],
  [
    'secrets_are_references',
    'a plain mover password',
    "update catalog.clusters set mover_secret = 'hunter2'",
  ],
  ['secrets_are_references', 'an empty reference', "update catalog.clusters set app_secret = 'env:'"],
  ['data_databases_pkey', 'an id twice', dataDatabase('us-1', 'us', 'other', 'pool', ids.poolUs)],
  ['data_database_is_on_a_cluster', 'an unknown cluster', dataDatabase('us-9', 'us', 'other', 'pool')],
  [
    'data_database_is_on_a_cluster',
    "a silo registered in another jurisdiction than its cluster's",
    dataDatabase('us-1', 'eu', 'other', 'silo'),
  ],
  [
    'data_database_is_on_a_cluster',
    'a cluster that changes its region under its databases',
    "update catalog.clusters set region_id = 'eu', jurisdiction = 'eu' where id = 'us-1'",
  ],
  ['database_names_are_unique_on_a_cluster', 'a name twice', dataDatabase('us-1', 'us', 'pool', 'silo')],
  ['data_database_kind_is_known', 'a made-up kind', dataDatabase('us-1', 'us', 'other', 'lake')],
  ['tiers_pkey', 'a tier twice', "insert into catalog.tiers values ('free', 'Free', 'pool')"],
  [
    'tier_id_is_a_name',
    'an id that begins with a digit',
    "insert into catalog.tiers values ('1st', 'X', 'pool')",
  ],
  ['tier_isolation_is_known', 'a made-up isolation', "insert into catalog.tiers values ('x', 'X', 'lake')"],

  ['tenants_pkey', 'an id twice', tenant('other', 'free', 'null', 'active', ids.roamer)],
  ['tenant_id_is_plain', 'an id with a quote', tenant('other', 'free', 'null', 'active', 'a;b')],
  ['name_means_one_tenant', 'another’s slug as an id', tenant('other', 'free', 'null', 'active', 'roamer')],
  [
    'name_is_of_a_tenant',
    'a name of nobody',
    "insert into catalog.tenant_names (name, tenant_id) values ('x', 'nobody')",
  ],
  ['slugs_are_unique', 'a slug twice', tenant('roamer', 'free', 'null')],
  ['slug_is_a_name', 'a slug with a dot', tenant('a.b', 'free', 'null')],
  ['tenant_has_a_tier', 'an unknown tier', tenant('other', 'gold', 'null')],
  ['tenant_status_is_known', 'a made-up status', tenant('other', 'free', 'null', 'gone')],
  ['residency_is_a_name', 'a pin to any', tenant('other', 'free', "'any'")],
  ['residency_is_a_name', 'a pin to nowhere', tenant('other', 'free', "''")],

  ['tenant_has_a_home', 'a tenant without a placement', tenant('other', 'free', 'null')],
  ['tenant_has_a_home', 'a home ended and none begun', endHome(ids.roamer)],
  ['one_home_per_tenant', 'a second home', placement(ids.roamer, 2, ids.poolUs, 'us', 'any')],
  [
    'one_tenant_per_silo',
    'a second tenant in a silo',
    succeed(ids.roamer, ids.siloUs, 'us', 'any', 'silo', 'silo'),
  ],
  ['placement_is_in_a_database', 'an unknown database', succeed(ids.loner, unknown, 'us', 'any')],
  [
    'placement_is_in_a_database',
    "another jurisdiction than its database's",
    succeed(ids.pinned, ids.poolEu, 'us', 'us'),
  ],
  [
    'placement_matches_its_database',
    'a silo in a pool database',
    succeed(ids.roamer, ids.poolUs, 'us', 'any', 'silo', 'silo'),
  ],
  [
    'isolation_fits_the_database',
    'a pool placement in a silo database',
    placement(ids.roamer, 2, ids.siloUs, 'us', 'any', 'silo', 'pool'),
  ],
  [
    'placement_follows_the_pin',
    'a placement that ignores the pin',
    succeed(ids.pinned, ids.poolEu, 'eu', 'any'),
  ],
  ['placement_respects_residency', 'a home outside the pin', succeed(ids.pinned, ids.poolEu, 'eu', 'us')],
  [
    'placement_respects_residency',
    'a silo outside the pin',
    succeed(ids.pinned, ids.siloEu, 'eu', 'us', 'silo', 'silo'),
  ],
  [
    'placement_respects_residency',
    'a pin that leaves the home outside',
    `update catalog.tenants set residency = 'eu' where id = '${ids.loner}'`,
  ],
  [
    'epoch_is_positive',
    'epoch 0',
    `${tenant('other', 'free', 'null', 'active', unknown)}; ${placement(unknown, 0, ids.poolUs, 'us', 'any')}`,
  ],
  [
    'epoch_only_grows',
    'an epoch again',
    `${endHome(ids.roamer)}; ${placement(ids.roamer, 1, ids.poolUs, 'us', 'any')}`,
  ],
  [
    'epoch_only_grows',
    'an epoch changed',
    `update catalog.placements set epoch = 7 where tenant_id = '${ids.roamer}'`,
  ],
  [
    'placement_ends_after_it_began',
    'an end in the past',
    "update catalog.placements set until = since - interval '1 second'",
  ],
  [
    'placements_are_history',
    'another database under the same epoch',
    `update catalog.placements set data_database_id = '${ids.poolEu}', jurisdiction = 'eu'
     where tenant_id = '${ids.roamer}'`,
  ],
  [
    'placements_are_history',
    'an ended placement revived',
    `${endHome(ids.loner)};
     ${placement(ids.loner, 2, ids.poolUs, 'us', 'any')};
     update catalog.placements set until = null where tenant_id = '${ids.loner}' and epoch = 1`,
  ],
  [
    'home_is_not_dropped',
    'a home that is dropped',
    `update catalog.data_databases set dropped_at = clock_timestamp() where id = '${ids.siloUs}'`,
  ],
  [
    'home_is_not_dropped',
    'a home in a database that is gone',
    `update catalog.data_databases set dropped_at = clock_timestamp() where id = '${ids.siloEu}';
     ${succeed(ids.roamer, ids.siloEu, 'eu', 'any', 'silo', 'silo')}`,
  ],
  [
    'placements_are_history',
    'a placement removed',
    `delete from catalog.placements where tenant_id = '${ids.loner}'`,
  ],
]
