import {
  drainUs,
  evacuation,
  evacuationTenant,
  ids,
  operation,
  placement,
  tenant,
  unknown,
  type Violation,
} from './catalog-rows.ts'

/** Clusters that are emptied. */
export const evacuationViolations: readonly Violation[] = [
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
]
