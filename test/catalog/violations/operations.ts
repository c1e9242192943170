import {
  changeMove,
  event,
  idempotencyKey,
  ids,
  ledger,
  operation,
  succeed,
  unknown,
  type Violation,
} from './catalog-rows.ts'

/** Moves, what they leave behind, and what is said of them. */
export const operationViolations: readonly Violation[] = [
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
]
