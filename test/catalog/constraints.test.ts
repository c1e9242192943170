import { connectClient, withClient } from '@freehold/postgres'
import type pg from 'pg'
import t from 'tap'
import { openTestCatalog, startPreparedCluster } from '../kit/control-plane.ts'
import { asSuperuser, createDataDatabase } from '../kit/databases.ts'

// Every rule of the two schemas is a constraint with a name. Here each is violated once, by name, and the last
// test compares the list with what the databases really have: a constraint without a test fails the build.

const server = await startPreparedCluster('constraints')
const catalog = await openTestCatalog(server)
await catalog.close()
await createDataDatabase(server.cluster, server.passwords, 'pool', { product: false })

const control = await connectClient(server.as('freehold_control', 'freehold_catalog'), 'test')
const owner = await connectClient(server.as('freehold_owner', 'pool'), 'test')
t.teardown(async () => {
  await control.end()
  await owner.end()
  await server.cluster.remove()
})

const ids = {
  poolUs: '00000000-0000-4000-8000-0000000000a1',
  poolEu: '00000000-0000-4000-8000-0000000000a2',
  siloUs: '00000000-0000-4000-8000-0000000000a3',
  siloEu: '00000000-0000-4000-8000-0000000000a4',
  roamer: '00000000-0000-4000-8000-0000000000b1',
  pinned: '00000000-0000-4000-8000-0000000000b2',
  loner: '00000000-0000-4000-8000-0000000000b3',
  move: '00000000-0000-4000-8000-0000000000c1',
  ended: '00000000-0000-4000-8000-0000000000c2',
  evacuation: '00000000-0000-4000-8000-0000000000c3',
  host: '00000000-0000-4000-8000-0000000000d1',
  apiKey: '00000000-0000-4000-8000-0000000000d2',
  membership: '00000000-0000-4000-8000-0000000000d3',
}

/** `roamer` is not pinned and is being moved to eu, `pinned` is pinned to us, `loner` has a silo in us. */
const catalogRows = `
  insert into catalog.regions values ('us', 'us', 'US'), ('eu', 'eu', 'EU');
  insert into catalog.clusters
    (id, region_id, jurisdiction, host, port, owner_secret, mover_secret, app_secret, capacity_bytes) values
    ('us-1', 'us', 'us', 'localhost', 5432, 'env:O', 'env:M', 'file:/a', 1000),
    ('eu-1', 'eu', 'eu', 'localhost', 5433, 'env:O', 'env:M', 'file:/a', null);
  insert into catalog.data_databases (id, cluster_id, jurisdiction, name, kind) values
    ('${ids.poolUs}', 'us-1', 'us', 'pool', 'pool'), ('${ids.poolEu}', 'eu-1', 'eu', 'pool', 'pool'),
    ('${ids.siloUs}', 'us-1', 'us', 'silo', 'silo'), ('${ids.siloEu}', 'eu-1', 'eu', 'silo', 'silo');
  insert into catalog.tenants (id, slug, name, tier_id, residency) values
    ('${ids.roamer}', 'roamer', 'Roamer', 'free', null), ('${ids.pinned}', 'pinned', 'Pinned', 'free', 'us'),
    ('${ids.loner}', 'loner', 'Loner', 'free', null);
  ${placement(ids.roamer, 1, ids.poolUs, 'us', 'any')};
  ${placement(ids.pinned, 1, ids.poolUs, 'us', 'us')};
  ${placement(ids.loner, 1, ids.siloUs, 'us', 'any', 'silo', 'silo')};
  ${operation(ids.move, ids.roamer, { pin: 'any', target: 'eu' })};
  ${operation(ids.ended, ids.pinned, { pin: 'us', target: 'us', phase: 'aborted', finished: 'clock_timestamp()' })};
  insert into catalog.operation_events (operation_id, sequence, phase, message)
    values ('${ids.move}', 1, 'planned', 'planned');
  insert into catalog.cleanup_ledger (operation_id, cluster_id, kind, database_name, name)
    values ('${ids.move}', 'us-1', 'publication', 'pool', 'move_1');
  insert into catalog.idempotency_keys (key, subject, request_digest, resource_id)
    values ('key', 'ada', '', '${ids.move}');
  ${evacuation({ id: ids.evacuation })};
  ${evacuationTenant(ids.roamer)};
  ${host('shop.example.com', ids.roamer, ids.host)};
  ${apiKey({ id: ids.apiKey, revokedAt: 'clock_timestamp()' })};
  ${membership('ada', ids.roamer, 'admin', ids.membership)};`

const dataRows = `
  insert into freehold.identity default values;
  insert into freehold.tenant_schema values ('own_a'), ('own_b');
  insert into freehold.resident (tenant_id, epoch, entry_digest, state, schema_name) values
    ('a', 1, sha256('a'), 'active', null), ('a', 2, sha256('a2'), 'standby', 'own_a'),
    ('b', 1, sha256('b'), 'active', null);
  insert into freehold.applied (stream, fencing_token, lsn) values ('move_1', 1, '0/1');
  insert into freehold.change (stream, tenant_id, relation, kind) values ('move_1', 'one', 'orders', 'truncate');
  create table public.things (tenant_id text primary key);
  insert into freehold.managed_table values ('public.things', 'tenant', 'tenant_id');`

function placement(
  tenant: string,
  epoch: number,
  database: string,
  jurisdiction: string,
  pin: string,
  kind = 'pool',
  isolation = 'pool',
): string {
  return `insert into catalog.placements
    (tenant_id, epoch, data_database_id, database_kind, isolation, jurisdiction, pinned_to)
    values ('${tenant}', ${epoch}, '${database}', '${kind}', '${isolation}', '${jurisdiction}', '${pin}')`
}

function operation(
  id: string,
  tenant: string,
  given: {
    pin?: string
    target?: string
    phase?: string
    epoch?: number
    kind?: string
    finished?: string
    isolation?: string
    schema?: string
  },
): string {
  const { pin = 'any', target = 'us', phase = 'planned', epoch = 1, kind = 'move', finished = 'null' } = given
  const { isolation = 'silo', schema = 'public' } = given
  return `insert into catalog.operations (id, kind, tenant_id, pinned_to, phase, source_epoch, target_cluster_id,
      target_jurisdiction, target_isolation, target_database_name, target_schema, state, progress, created_by,
      finished_at)
    values ('${id}', '${kind}', '${tenant}', '${pin}', '${phase}', ${epoch}, '${target}-1', '${target}',
      '${isolation}', 'silo', '${schema}', '{}', '{}', 'test', ${finished})`
}

function host(name: string, of: string, id = ''): string {
  return `insert into catalog.tenant_hosts (id, host, tenant_id)
    values (${id === '' ? 'default' : `'${id}'`}, '${name}', '${of}')`
}

function apiKey(
  given: Partial<
    Record<'id' | 'of' | 'name' | 'prefix' | 'digest' | 'scopes' | 'expiresAt' | 'revokedAt', string>
  >,
): string {
  const {
    id = '',
    of = ids.roamer,
    name = 'Key',
    prefix = '0123456789abcdef',
    digest = "sha256('a')",
  } = given
  const { scopes = '{}', expiresAt = 'null', revokedAt = 'null' } = given
  return `insert into catalog.api_keys
      (id, tenant_id, name, prefix, digest, scopes, created_by, expires_at, revoked_at)
    values (${id === '' ? 'default' : `'${id}'`}, '${of}', '${name}', '${prefix}', ${digest}, '${scopes}', 'test',
      ${expiresAt}, ${revokedAt})`
}

function membership(subject: string, of: string, role: string, id = ''): string {
  return `insert into catalog.memberships (id, subject, tenant_id, role)
    values (${id === '' ? 'default' : `'${id}'`}, '${subject}', '${of}', '${role}')`
}

const drainUs = "update catalog.clusters set draining_since = clock_timestamp() where id = 'us-1'"
function evacuation(given: {
  id?: string
  of?: string
  to?: string | null
  region?: string
  atATime?: number
}): string {
  const { id = '', of = 'us-1', to = 'eu-1', region, atATime = 2 } = given
  const text = (value: string | null | undefined) => (value == null ? 'null' : `'${value}'`)
  return `insert into catalog.evacuations (id, cluster_id, target_cluster, target_region, max_concurrent, created_by)
    values (${id === '' ? 'default' : `'${id}'`}, '${of}', ${text(to)}, ${text(region)}, ${atATime}, 'test')`
}
function evacuationTenant(of: string, given: { of?: string; state?: string; move?: string } = {}): string {
  const { of: evacuating = ids.evacuation, state = 'waiting', move } = given
  return `insert into catalog.evacuation_tenants (evacuation_id, tenant_id, state, operation_id)
    values ('${evacuating}', '${of}', '${state}', ${move === undefined ? 'null' : `'${move}'`})`
}
const cluster = (id: string, region: string, jurisdiction: string, port = 5432) =>
  `insert into catalog.clusters (id, region_id, jurisdiction, host, port, owner_secret, mover_secret, app_secret)
   values ('${id}', '${region}', '${jurisdiction}', 'h', ${port}, 'env:O', 'env:M', 'env:A')`
const dataDatabase = (clusterId: string, jurisdiction: string, name: string, kind: string, id = '') =>
  `insert into catalog.data_databases (id, cluster_id, jurisdiction, name, kind)
   values (${id === '' ? 'default' : `'${id}'`}, '${clusterId}', '${jurisdiction}', '${name}', '${kind}')`
const tenant = (slug: string, tier: string, residency: string, status = 'active', id = '') =>
  `insert into catalog.tenants (id, slug, name, tier_id, residency, status)
   values (${id === '' ? 'default' : `'${id}'`}, '${slug}', 'N', '${tier}', ${residency}, '${status}')`
const endHome = (of: string) =>
  `update catalog.placements set until = clock_timestamp() where tenant_id = '${of}' and until is null`
const succeed = (of: string, ...to: [string, string, string, string?, string?]) =>
  `${endHome(of)}; ${placement(of, 2, ...to)}`
const changeMove = (assignments: string, id = ids.move) =>
  `update catalog.operations set ${assignments} where id = '${id}'`
const event = (id: string, sequence: number) =>
  `insert into catalog.operation_events (operation_id, sequence, phase, message) values ('${id}', ${sequence}, 'x', 'x')`
const ledger = (id: string, clusterId: string, kind: string, name: string, pkey = '') =>
  `insert into catalog.cleanup_ledger (id, operation_id, cluster_id, kind, database_name, name)
   values (${pkey === '' ? 'default' : `'${pkey}'`}, '${id}', '${clusterId}', '${kind}', 'pool', '${name}')`
const idempotencyKey = (key: string) =>
  `insert into catalog.idempotency_keys (key, subject, request_digest, resource_id)
   values (${key}, 'ada', '', '${ids.move}')`
const unknown = '00000000-0000-4000-8000-00000000dead'

/** Constraint, what it is tried with, statement. */
type Violation = readonly [constraint: string, attempt: string, sql: string]

const catalogViolations: Violation[] = [
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

  ['operations_pkey', 'an id twice', operation(ids.move, ids.loner, {})],
  ['operation_kind_is_known', 'a made-up kind', operation(unknown, ids.loner, { kind: 'party' })],
  ['operation_phase_is_known', 'a made-up phase', operation(unknown, ids.loner, { phase: 'lunch' })],
  [
    'operation_ends_in_a_terminal_phase',
    'an end without an end',
    operation(unknown, ids.loner, { phase: 'completed' }),
  ],
  [
    'operation_ends_in_a_terminal_phase',
    'an end in the middle',
    operation(unknown, ids.loner, { phase: 'verify', finished: 'clock_timestamp()' }),
  ],
  [
    'operation_starts_from_a_placement',
    'an epoch that never was',
    operation(unknown, ids.loner, { epoch: 9 }),
  ],
  [
    'operation_targets_a_cluster',
    "another jurisdiction than the cluster's",
    changeMove("target_jurisdiction = 'us'"),
  ],
  [
    'operation_follows_the_pin',
    'a move that ignores the pin',
    operation(unknown, ids.pinned, { target: 'eu' }),
  ],
  [
    'move_respects_residency',
    'a move out of the pin',
    operation(unknown, ids.pinned, { pin: 'us', target: 'eu' }),
  ],
  [
    'move_respects_residency',
    'a pin set while a move leads out of it',
    `update catalog.tenants set residency = 'us' where id = '${ids.roamer}'`,
  ],
  ['target_isolation_is_known', 'a made-up isolation', operation(unknown, ids.loner, { isolation: 'lake' })],
  [
    'only_own_schemas_have_a_name',
    'a silo with a schema',
    operation(unknown, ids.loner, { schema: 't_loner' }),
  ],
  [
    'only_own_schemas_have_a_name',
    'a schema of its own without a name',
    operation(unknown, ids.loner, { isolation: 'schema' }),
  ],
  ['one_active_operation_per_tenant', 'a second move', operation(unknown, ids.roamer, {})],
  ['lease_has_an_owner_and_an_expiry', 'a lease for ever', changeMove("lease_owner = 'w'")],
  [
    'cancelled_moves_do_not_switch',
    'a switch of a cancelled move',
    changeMove('cancel_requested = true, switch_intended = true'),
  ],
  ['move_is_of_an_evacuation', 'an unknown evacuation', changeMove(`evacuation_id = '${unknown}'`)],
  ['pause_names_who', 'a pause by nobody', changeMove('paused_at = clock_timestamp()')],
  [
    'paused_moves_do_not_switch',
    'a switch of a paused move',
    changeMove("phase = 'cutover', switch_intended = true, paused_at = clock_timestamp(), paused_by = 'ada'"),
  ],
  [
    'approval_names_who',
    'an approval by nobody',
    changeMove('needs_approval = true, approved_at = clock_timestamp()'),
  ],
  [
    'only_what_needs_it_is_approved',
    'an approval unasked for',
    changeMove("approved_at = clock_timestamp(), approved_by = 'ada'"),
  ],
  [
    'switch_window_is_whole',
    'a window without a zone',
    changeMove("switch_from = '02:00', switch_until = '04:00'"),
  ],
  [
    'switch_window_is_not_empty',
    'a window of no length',
    changeMove("switch_from = '02:00', switch_until = '02:00', switch_zone = 'UTC'"),
  ],
  ['rows_per_second_are_positive', 'no rows per second', changeMove('max_rows_per_second = 0')],
  ['cluster_takes_part_in_some_moves', 'no moves', 'update catalog.clusters set max_moves = 0'],
  [
    'draining_clusters_take_no_moves',
    'a move to a cluster that is drained',
    `${drainUs}; ${operation(unknown, ids.loner, {})}`,
  ],
  [
    'draining_clusters_take_no_tenants',
    'a tenant on a cluster that is drained',
    `${drainUs}; ${tenant('other', 'free', 'null', 'active', unknown)};
     ${placement(unknown, 1, ids.poolUs, 'us', 'any')}`,
  ],
  ['evacuations_pkey', 'an id twice', evacuation({ id: ids.evacuation, of: 'eu-1', to: 'us-1' })],
  ['evacuation_is_of_a_cluster', 'an unknown cluster', evacuation({ of: 'xx-1' })],
  ['evacuation_leads_to_a_cluster', 'an unknown target', evacuation({ of: 'eu-1', to: 'xx-1' })],
  ['evacuation_leads_to_a_region', 'an unknown region', evacuation({ of: 'eu-1', to: null, region: 'xx' })],
  ['evacuation_has_one_target', 'two targets', evacuation({ of: 'eu-1', to: 'us-1', region: 'us' })],
  ['evacuation_leaves_its_cluster', 'its own target', evacuation({ of: 'eu-1', to: 'eu-1' })],
  ['evacuation_moves_some_at_a_time', 'none at a time', evacuation({ of: 'eu-1', to: 'us-1', atATime: 0 })],
  ['one_evacuation_per_cluster', 'a second one', evacuation({})],
  ['evacuation_tenants_pkey', 'a tenant twice', evacuationTenant(ids.roamer)],
  [
    'evacuation_tenant_is_of_an_evacuation',
    'an unknown evacuation',
    evacuationTenant(ids.loner, { of: unknown }),
  ],
  ['evacuation_tenant_is_a_tenant', 'an unknown tenant', evacuationTenant(unknown)],
  ['evacuation_tenant_has_a_move', 'an unknown move', evacuationTenant(ids.loner, { move: unknown })],
  ['evacuation_tenant_state_is_known', 'a made-up state', evacuationTenant(ids.loner, { state: 'lost' })],
  ['moving_tenants_have_a_move', 'a move that is none', evacuationTenant(ids.loner, { state: 'moving' })],
  ['refused_tenants_have_a_reason', 'no reason', evacuationTenant(ids.loner, { state: 'refused' })],
  [
    'rollback_window_is_not_negative',
    'a window of -1 s',
    changeMove("rollback_window_seconds = -1, source_jurisdiction = 'us'"),
  ],
  [
    'rollback_needs_an_open_window',
    'a rollback before the switch',
    changeMove('rollback_requested = true, window_closes_at = clock_timestamp()'),
  ],
  [
    'rollback_needs_an_open_window',
    'a rollback while the source is purged',
    changeMove("phase = 'finalize', rollback_requested = true, window_closes_at = clock_timestamp()"),
  ],
  [
    'unsafe_rollbacks_are_not_made',
    'a rollback that would lose writes',
    changeMove(
      "phase = 'soak', rollback_requested = true, window_closes_at = clock_timestamp(), rollback_error = '{}'",
    ),
  ],
  [
    'rollback_window_has_a_jurisdiction',
    'a source that is nowhere',
    changeMove('rollback_window_seconds = 1, source_jurisdiction = null'),
  ],
  [
    'rollback_window_respects_residency',
    'a pin that leaves the old home outside while it is kept in step',
    `update catalog.operations set phase = 'soak', rollback_window_seconds = 1, source_jurisdiction = 'us',
       window_closes_at = clock_timestamp() where id = '${ids.move}';
     ${succeed(ids.roamer, ids.poolEu, 'eu', 'any')};
     update catalog.tenants set residency = 'eu' where id = '${ids.roamer}'`,
  ],
  ['fencing_token_only_grows', 'a token taken back', changeMove('fencing_token = -1')],
  ['finished_operations_do_not_change', 'an end rewritten', changeMove("error = '{}'", ids.ended)],
  [
    'finished_operations_do_not_change',
    'an end taken back',
    changeMove("phase = 'planned', finished_at = null", ids.ended),
  ],
  ['operation_events_pkey', 'a number twice', event(ids.move, 1)],
  ['operation_events_operation_id_fkey', 'an unknown operation', event(unknown, 1)],
  [
    'cleanup_ledger_pkey',
    'an id twice',
    `${ledger(ids.move, 'us-1', 'database', 'a', unknown)}; ${ledger(ids.move, 'us-1', 'database', 'b', unknown)}`,
  ],
  ['cleanup_ledger_operation_id_fkey', 'an unknown operation', ledger(unknown, 'us-1', 'database', 'a')],
  ['cleanup_ledger_cluster_id_fkey', 'an unknown cluster', ledger(ids.move, 'us-9', 'database', 'a')],
  ['ledger_kind_is_known', 'a made-up kind', ledger(ids.move, 'us-1', 'role', 'a')],
  ['ledger_names_a_resource_once', 'a resource twice', ledger(ids.move, 'us-1', 'publication', 'move_1')],
  ['idempotency_keys_pkey', 'a key twice', idempotencyKey("'key'")],
  ['key_is_short', 'an empty key', idempotencyKey("''")],
  ['key_is_short', 'a key of 201 characters', idempotencyKey("repeat('x', 201)")],

  ['tenant_hosts_pkey', 'an id twice', host('other.example.com', ids.roamer, ids.host)],
  ['host_leads_to_one_tenant', "another tenant's host", host('shop.example.com', ids.pinned)],
  ['host_is_of_a_tenant', 'an unknown tenant', host('other.example.com', unknown)],
  ['host_is_a_domain_name', 'a capital', host('Other.example.com', ids.roamer)],
  ['host_is_a_domain_name', 'a port', host('other.example.com:80', ids.roamer)],
  ['host_is_a_domain_name', 'a final dot', host('other.example.com.', ids.roamer)],
  ['host_is_a_domain_name', 'an address', host('127.0.0.1', ids.roamer)],
  ['host_is_a_domain_name', 'a wildcard', host('*.example.com', ids.roamer)],
  ['host_is_a_domain_name', 'one label', host('localhost', ids.roamer)],
  ['host_is_a_domain_name', '254 characters', host(`${'a.'.repeat(126)}ab`, ids.roamer)],
  ['api_keys_pkey', 'an id twice', apiKey({ id: ids.apiKey, prefix: 'f'.repeat(16) })],
  ['prefix_means_one_api_key', 'a prefix twice', apiKey({ of: ids.pinned })],
  ['api_key_is_of_a_tenant', 'an unknown tenant', apiKey({ of: unknown, prefix: 'f'.repeat(16) })],
  ['api_key_has_a_name', 'no name', apiKey({ name: '' })],
  ['api_key_prefix_is_hexadecimal', 'a word', apiKey({ prefix: 'a prefix of mine' })],
  ['api_key_digest_is_sha256', 'a key instead of its digest', apiKey({ digest: "'fh_secret'" })],
  ['api_key_scopes_are_names', 'a scope with a space', apiKey({ scopes: '{"a b?"}' })],
  ['api_key_scopes_are_names', 'a scope that is null', apiKey({ scopes: '{null}' })],
  ['api_key_scopes_are_names', 'an empty scope', apiKey({ scopes: '{""," "}' })],
  ['api_key_scopes_are_names', '33 scopes', apiKey({ scopes: `{${Array(33).fill('a').join()}}` })],
  ['api_key_expires_after_it_was_made', 'an expiry in the past', apiKey({ expiresAt: "'2020-01-01'" })],
  ['revoked_keys_stay_revoked', 'a key given back', 'update catalog.api_keys set revoked_at = null'],
  ['memberships_pkey', 'an id twice', membership('bob', ids.roamer, 'admin', ids.membership)],
  ['subject_is_a_member_once', 'two roles', membership('ada', ids.roamer, 'viewer')],
  ['membership_is_in_a_tenant', 'an unknown tenant', membership('ada', unknown, 'admin')],
  ['subject_is_short', 'nobody', membership('', ids.roamer, 'admin')],
  ['subject_is_short', '256 characters', membership('x'.repeat(256), ids.roamer, 'admin')],
  ['member_role_is_a_name', 'a role in capitals', membership('bob', ids.roamer, 'Admin')],
]

// What only the owner of the tables can try at all: the role of the control API lacks the right.
const ownerViolations: Violation[] = [
  [
    'operation_events_are_append_only',
    'a rewritten entry',
    "update catalog.operation_events set message = 'x'",
  ],
  ['operation_events_are_append_only', 'a removed entry', 'delete from catalog.operation_events'],
]

// The epoch's own rule speaks before this key does.
const silencedViolations: Violation[] = [
  ['placements_pkey', 'an epoch twice', placement(ids.loner, 1, ids.poolUs, 'us', 'any')],
]

// These exist to be referred to; each is subsumed by the primary key, which refuses first.
const referenceKeys: Violation[] = [
  ['region_is_in_one_jurisdiction', 'regions', 'regions_pkey'],
  ['cluster_is_in_one_jurisdiction', 'clusters', 'clusters_pkey'],
  ['data_database_is_in_one_jurisdiction', 'data_databases', 'data_databases_pkey'],
  ['data_database_has_one_kind', 'data_databases', 'data_databases_pkey'],
  ['tenant_has_one_pin', 'tenants', 'tenants_pkey'],
]

const dataViolations: Violation[] = [
  ['one_residency_per_schema', 'a tenant twice', resident("'a'", 2, "sha256('c')", "'active'")],
  ['schema_is_declared', 'a schema of nobody', resident("'c'", 1, "sha256('c')", "'active'", "'nobodys'")],
  [
    'schema_has_one_tenant',
    'two tenants in one schema',
    resident("'c'", 1, "sha256('c')", "'active'", "'own_a'"),
  ],
  [
    'tenant_schema_is_its_own',
    'the shared tables as one tenant’s',
    "insert into freehold.tenant_schema values ('public')",
  ],
  ['identity_pkey', 'a second id of the database', 'insert into freehold.identity default values'],
  ['there_is_one_identity', 'an id that is not the only one', 'insert into freehold.identity values (false)'],
  ['tenant_schema_pkey', 'a schema twice', "insert into freehold.tenant_schema values ('own_a')"],
  [
    'tenant_id_is_canonical',
    'two ids that are one number',
    `create table public.numbered (account_id bigint); delete from freehold.resident; ${resident("'42'", 1, "sha256('c')", "'active'")};
     delete from freehold.managed_table;
     select freehold.protect_table('public.numbered', 'account_id'); ${resident("'042'", 1, "sha256('d')", "'active'")}`,
  ],
  [
    'tenant_id_is_canonical',
    'an id that is no number, where ids are numbers',
    `create table public.numbered (account_id bigint); select freehold.protect_table('public.numbered', 'account_id')`,
  ],
  ['epoch_is_positive', 'epoch 0', resident("'c'", 0, "sha256('c')", "'active'")],
  ['entry_digest_is_sha256', 'a short digest', resident("'c'", 1, "'\\x00'", "'active'")],
  ['entry_digest_names_one_tenant', "another tenant's digest", resident("'c'", 1, "sha256('a')", "'active'")],
  [
    'fence_has_a_token_and_an_expiry',
    'a fence without either',
    resident("'c'", 1, "sha256('c')", "'fenced'"),
  ],
  [
    'fence_has_a_token_and_an_expiry',
    'a seal without a token',
    resident("'c'", 1, "sha256('c')", "'sealed'"),
  ],
  [
    'fence_has_a_token_and_an_expiry',
    'a fence without an expiry',
    "update freehold.resident set state = 'fenced', fence_token = gen_random_uuid() where tenant_id = 'a'",
  ],
  [
    'fence_has_a_token_and_an_expiry',
    'a token left behind',
    "update freehold.resident set fence_token = gen_random_uuid() where tenant_id = 'a'",
  ],
  [
    'claim_has_a_token',
    'a claim under no lease',
    "update freehold.resident set claimed_by = gen_random_uuid() where tenant_id = 'a'",
  ],
  [
    'fencing_token_is_positive',
    'a stream that no lease owns',
    "update freehold.applied set fencing_token = 0 where stream = 'move_1'",
  ],
  [
    'applied_pkey',
    'a stream twice',
    "insert into freehold.applied (stream, fencing_token, lsn) values ('move_1', 2, '0/2')",
  ],
  [
    'managed_table_pkey',
    'a table twice',
    "insert into freehold.managed_table values ('public.things', 'reference')",
  ],
  [
    'tenant_tables_have_a_tenant_column',
    'a tenant table without a tenant column',
    "insert into freehold.managed_table values ('freehold.applied', 'tenant', null)",
  ],
  [
    'tenant_tables_have_a_tenant_column',
    'a reference table with one',
    "insert into freehold.managed_table values ('freehold.applied', 'reference', 'stream')",
  ],
]

function resident(id: string, epoch: number, digest: string, state: string, schema = 'null'): string {
  return `insert into freehold.resident (tenant_id, epoch, entry_digest, state, schema_name)
    values (${id}, ${epoch}, ${digest}, ${state}, ${schema})`
}

await control.query(`begin; ${catalogRows} commit`)
await owner.query(dataRows)

/** The constraint that refuses a statement; nothing of it stays. */
async function refusedBy(client: pg.Client, sql: string): Promise<string> {
  await client.query('begin')
  try {
    await client.query(sql)
    await client.query('set constraints all immediate')
    return 'nothing'
  } catch (error) {
    const { constraint, message } = error as pg.DatabaseError
    return constraint ?? message
  } finally {
    await client.query('rollback')
  }
}

t.test('the catalog refuses', async (t) => {
  for (const [constraint, attempt, sql] of catalogViolations) {
    t.equal(await refusedBy(control, sql), constraint, attempt)
  }
})

t.test('the timeline is written once, whoever tries', async (t) => {
  t.match(await refusedBy(control, 'delete from catalog.operation_events'), /permission denied/)
  await withClient(server.as('freehold_owner', 'freehold_catalog'), 'test', async (client) => {
    for (const [constraint, attempt, sql] of ownerViolations) {
      t.equal(await refusedBy(client, sql), constraint, attempt)
    }
  })
})

t.test('an epoch is a key even where no trigger fires', async (t) => {
  await withClient(asSuperuser(server.cluster, 'freehold_catalog'), 'test', async (client) => {
    await client.query('set session_replication_role = replica')
    for (const [constraint, attempt, sql] of silencedViolations) {
      t.equal(await refusedBy(client, sql), constraint, attempt)
    }
  })
})

t.test('keys that are only referred to are subsumed by a primary key', async (t) => {
  await withClient(asSuperuser(server.cluster, 'freehold_catalog'), 'test', async (client) => {
    for (const [constraint, table, pkey] of referenceKeys) {
      t.equal(await refusedBy(client, `insert into catalog.${table} ${copyOf(`catalog.${table}`)}`), pkey)
      const subsumed = await client.query(
        `select from pg_constraint wide join pg_constraint narrow using (conrelid)
         where wide.conname = $1 and narrow.conname = $2 and wide.conkey @> narrow.conkey`,
        [constraint, pkey],
      )
      t.equal(subsumed.rowCount, 1, constraint)
    }
  })

  function copyOf(table: string): string {
    if (table !== 'catalog.tenants') return `select * from ${table}`
    return `(id, slug, name, tier_id) select id, slug || 'x', name, tier_id from ${table}`
  }
})

t.test('a data database refuses', async (t) => {
  for (const [constraint, attempt, sql] of dataViolations) {
    t.equal(await refusedBy(owner, sql), constraint, attempt)
  }
})

const schemas = [
  ['freehold_catalog', 'catalog'],
  ['pool', 'freehold'],
] as const

for (const [database, schema] of schemas) {
  t.test(`no column that must have a value may be without one: ${schema}`, async (t) => {
    await withClient(asSuperuser(server.cluster, database), 'test', async (client) => {
      const columns = await client.query<{
        name: string
        relation: string
        column: string
        writable: string[]
      }>(
        `select conname as name, conrelid::regclass::text as relation, attname as column,
           (select array_agg(quote_ident(attname)) from pg_attribute
            where attrelid = conrelid and attnum > 0 and not attisdropped and attgenerated = '')::text[] as writable
         from pg_constraint join pg_attribute on attrelid = conrelid and attnum = conkey[1]
         where contype = 'n' and connamespace = $1::regnamespace`,
        [schema],
      )
      // Foreign keys and triggers would speak first; a missing value is refused by the table itself.
      await client.query('set session_replication_role = replica')
      for (const { name, relation, column, writable } of columns.rows) {
        const refused = await refusedBy(
          client,
          `insert into ${relation} (${writable.join(', ')})
           select ${writable.map((each) => `emptied.${each}`).join(', ')}
           from (select * from ${relation} limit 1) existing,
             jsonb_populate_record(null::${relation}, to_jsonb(existing) - '${column}') emptied`,
        )
        t.match(refused, new RegExp(`^(${name}$|null value in column "${column}")`), name)
      }
    })
  })
}

t.test('every constraint has a test that tries to violate it', async (t) => {
  const violated = new Set(
    [
      ...catalogViolations,
      ...ownerViolations,
      ...silencedViolations,
      ...referenceKeys,
      ...dataViolations,
      // Two rows that it would refuse are refused by `entry_digest_names_one_tenant` before.
      ['resident_is_open'],
    ].map(([name]) => name),
  )
  for (const [database, schema] of schemas) {
    const names = await withClient(asSuperuser(server.cluster, database), 'test', (client) =>
      client.query<{ name: string }>(
        `select conname as name from pg_constraint
         where connamespace = $1::regnamespace and contype not in ('n', 't')
         union select indexrelid::regclass::name from pg_index
         join pg_class on pg_class.oid = indexrelid where indisunique and relnamespace = $1::regnamespace
         union select (regexp_matches(prosrc, 'constraint = ''(\\w+)''', 'g'))[1] from pg_proc
         where pronamespace = $1::regnamespace`,
        [schema],
      ),
    )
    const untested = names.rows
      .map(({ name }) => name.split('.').at(-1) ?? name)
      .filter((name) => !violated.has(name))
    t.ok(names.rows.length > 5)
    t.same(untested, [], schema)
  }
  await withClient(asSuperuser(server.cluster, 'freehold_catalog'), 'test', async (client) => {
    const triggers = await client.query<{ name: string }>(
      `select tgname as name from pg_trigger where not tgisinternal and tgname not like 'announce%' and tgname <> 'name_tenant' order by 1`,
    )
    // Each of these guards a rule whose name the function raises; tenant_keeps_a_home raises tenant_has_a_home, and
    // dropped_databases_are_empty raises home_is_not_dropped.
    t.same(
      triggers.rows.map(({ name }) => name),
      [
        'draining_clusters_take_no_moves',
        'draining_clusters_take_no_tenants',
        'dropped_databases_are_empty',
        'epoch_only_grows',
        'fencing_token_only_grows',
        'home_is_not_dropped',
        'operation_events_are_append_only',
        'placements_are_history',
        'revoked_keys_stay_revoked',
        'tenant_has_a_home',
        'tenant_keeps_a_home',
      ],
    )
  })
})

t.test('a pin may change while nothing is outside it, and history stays as it was', async (t) => {
  await control.query('begin')
  await control.query(`${endHome(ids.pinned)}; ${placement(ids.pinned, 2, ids.poolUs, 'us', 'us')}`)
  await control.query(`update catalog.tenants set residency = null where id = '${ids.pinned}'`)
  await control.query(
    `${endHome(ids.pinned)}; ${placement(ids.pinned, 3, ids.siloEu, 'eu', 'any', 'silo', 'silo')}`,
  )
  await control.query(`update catalog.tenants set residency = 'eu' where id = '${ids.pinned}'`)
  await control.query('set constraints all immediate')
  const rows = await control.query(
    `select epoch::int, jurisdiction, pinned_to, until is null as home from catalog.placements
     where tenant_id = '${ids.pinned}' order by epoch`,
  )
  t.same(rows.rows, [
    { epoch: 1, jurisdiction: 'us', pinned_to: 'eu', home: false },
    { epoch: 2, jurisdiction: 'us', pinned_to: 'eu', home: false },
    { epoch: 3, jurisdiction: 'eu', pinned_to: 'eu', home: true },
  ])
  await control.query('rollback')
})

t.end()
