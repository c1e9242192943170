/** Constraint, what it is tried with, statement. */
export type Violation = readonly [constraint: string, attempt: string, sql: string]

export const ids = {
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
/** The id of nothing. */
export const unknown = '00000000-0000-4000-8000-00000000dead'

/** `roamer` is not pinned and is being moved to eu, `pinned` is pinned to us, `loner` has a silo in us. */
export const catalogRows = `
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

export function placement(
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

export function operation(
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

export function host(name: string, of: string, id = ''): string {
  return `insert into catalog.tenant_hosts (id, host, tenant_id)
    values (${id === '' ? 'default' : `'${id}'`}, '${name}', '${of}')`
}

export function apiKey(
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

export function membership(subject: string, of: string, role: string, id = ''): string {
  return `insert into catalog.memberships (id, subject, tenant_id, role)
    values (${id === '' ? 'default' : `'${id}'`}, '${subject}', '${of}', '${role}')`
}

export const drainUs = "update catalog.clusters set draining_since = clock_timestamp() where id = 'us-1'"
export function evacuation(given: {
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
export function evacuationTenant(
  of: string,
  given: { of?: string; state?: string; move?: string } = {},
): string {
  const { of: evacuating = ids.evacuation, state = 'waiting', move } = given
  return `insert into catalog.evacuation_tenants (evacuation_id, tenant_id, state, operation_id)
    values ('${evacuating}', '${of}', '${state}', ${move === undefined ? 'null' : `'${move}'`})`
}
export const cluster = (id: string, region: string, jurisdiction: string, port = 5432) =>
  `insert into catalog.clusters (id, region_id, jurisdiction, host, port, owner_secret, mover_secret, app_secret)
   values ('${id}', '${region}', '${jurisdiction}', 'h', ${port}, 'env:O', 'env:M', 'env:A')`
export const dataDatabase = (clusterId: string, jurisdiction: string, name: string, kind: string, id = '') =>
  `insert into catalog.data_databases (id, cluster_id, jurisdiction, name, kind)
   values (${id === '' ? 'default' : `'${id}'`}, '${clusterId}', '${jurisdiction}', '${name}', '${kind}')`
export const tenant = (slug: string, tier: string, residency: string, status = 'active', id = '') =>
  `insert into catalog.tenants (id, slug, name, tier_id, residency, status)
   values (${id === '' ? 'default' : `'${id}'`}, '${slug}', 'N', '${tier}', ${residency}, '${status}')`
export const endHome = (of: string) =>
  `update catalog.placements set until = clock_timestamp() where tenant_id = '${of}' and until is null`
export const succeed = (of: string, ...to: [string, string, string, string?, string?]) =>
  `${endHome(of)}; ${placement(of, 2, ...to)}`
export const changeMove = (assignments: string, id = ids.move) =>
  `update catalog.operations set ${assignments} where id = '${id}'`
export const event = (id: string, sequence: number) =>
  `insert into catalog.operation_events (operation_id, sequence, phase, message) values ('${id}', ${sequence}, 'x', 'x')`
export const ledger = (id: string, clusterId: string, kind: string, name: string, pkey = '') =>
  `insert into catalog.cleanup_ledger (id, operation_id, cluster_id, kind, database_name, name)
   values (${pkey === '' ? 'default' : `'${pkey}'`}, '${id}', '${clusterId}', '${kind}', 'pool', '${name}')`
export const idempotencyKey = (key: string) =>
  `insert into catalog.idempotency_keys (key, subject, request_digest, resource_id)
   values (${key}, 'ada', '', '${ids.move}')`
