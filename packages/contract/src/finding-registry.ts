import type { ErrorCode } from './error-registry.ts'

/** What is fixed about a finding of a move's preflight: it is public interface, never renamed and never reused. */
export type FindingDefinition = {
  /** What is the case, for a person, the same for every occurrence. */
  readonly title: string
  /** What to do about it. */
  readonly remedy: string
} & (
  | {
      readonly severity: 'blocking'
      /** The error with which a move is refused that is started all the same. */
      readonly error: ErrorCode
    }
  | { readonly severity: 'advisory' }
)

/** Everything that the checks before a move can find. `docs/findings.md` is generated from this registry. */
export const findingRegistry = {
  // The request
  tenant_moving: {
    severity: 'blocking',
    error: 'tenant_moving',
    title: 'The tenant is being moved already',
    remedy: 'Wait for the running move to end, or cancel it.',
  },
  residency_violation: {
    severity: 'blocking',
    error: 'residency_violation',
    title: 'The target lies outside the jurisdiction to which the tenant is pinned',
    remedy: "Choose a target in the tenant's jurisdiction.",
  },
  target_is_home: {
    severity: 'blocking',
    error: 'target_is_home',
    title: 'The tenant already lives at the target',
    remedy: 'Choose another target.',
  },
  target_not_empty: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'What the move is to make at the target is there already',
    remedy: 'Look at whose it is, and remove it if it is a leftover; or plan the move anew.',
  },
  target_occupied: {
    severity: 'blocking',
    error: 'target_occupied',
    title: 'The target pool holds rows of the tenant already',
    remedy:
      'If an earlier move has just been given up, its rows are being removed: try again soon. Otherwise look at whose they are.',
  },
  key_collision: {
    severity: 'blocking',
    error: 'key_collision',
    title: "Keys of the tenant could collide with others' in the target pool",
    remedy: 'Let the constraint include the tenant column, or choose a target of another isolation.',
  },
  table_differs: {
    severity: 'blocking',
    error: 'schema_mismatch',
    title: 'A table is not the same at the source and in the target pool',
    remedy: 'Bring both databases to the same version of the product schema, or choose another pool.',
  },
  reference_row_missing: {
    severity: 'blocking',
    error: 'foreign_key_broken',
    title: 'Rows of the tenant refer to rows that reference tables of the target pool do not have',
    remedy: 'Add the rows to the reference table of the target pool, or choose another pool.',
  },
  reference_table_large: {
    severity: 'advisory',
    title: 'A reference table is large, and who changes it waits while it is compared at the switch',
    remedy:
      'Expect its writers to wait for seconds, or move when there are none. FREEHOLD_REFERENCE_HOLD_MS of the worker bounds it.',
  },
  reference_table_differs: {
    severity: 'advisory',
    title: 'A reference table has other rows in the target pool than at the source',
    remedy: "After the move the tenant finds the pool's. Bring the pool's up to date, if it should not.",
  },

  rollback_window_unavailable: {
    severity: 'blocking',
    error: 'rollback_window_unavailable',
    title: 'The target cannot keep the old home in step by its log, which was asked for',
    remedy:
      'Let triggers follow the tenant where a log is not to be had: without `--change-stream logical` each end goes by what it has. Or set wal_level to logical and leave slots and senders free at the target.',
  },

  // Reaching both sides
  source_unreachable: {
    severity: 'blocking',
    error: 'source_unreachable',
    title: "The tenant's current database cannot be reached",
    remedy: 'Check that the cluster runs and that its address and credentials in the catalog are right.',
  },
  target_unreachable: {
    severity: 'blocking',
    error: 'target_unreachable',
    title: 'The target cluster cannot be reached',
    remedy: 'Check that the cluster runs and that its address and credentials in the catalog are right.',
  },
  application_locked_out: {
    severity: 'blocking',
    error: 'target_unreachable',
    title: 'The product could not log in at the target',
    remedy:
      "Bring the password of freehold_app on the target cluster and the catalog's reference to it together.",
  },

  // The tenant's tables
  table_undeclared: {
    severity: 'blocking',
    error: 'table_without_tenant_column',
    title: 'A table is declared neither as a tenant table nor as a reference table',
    remedy:
      'Add the tenant column and run freehold.protect_table(), or declare it with freehold.declare_reference_table().',
  },
  tenant_column_missing: {
    severity: 'blocking',
    error: 'table_without_tenant_column',
    title: 'A tenant table has no tenant column',
    remedy: 'Add the column, or declare the table with freehold.declare_reference_table().',
  },
  reference_needs_tenant_table: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'A reference table has a foreign key to a tenant table',
    remedy:
      'Make it a tenant table, or drop the foreign key: it is the same for tenants that live elsewhere.',
  },
  reference_table_out_of_reach: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'Freehold may not keep a reference table as it is while the tenant is switched',
    remedy:
      'Grant update on the table to freehold_owner: it changes nothing there, but the lock that it takes needs that right.',
  },
  primary_key_unfit: {
    severity: 'blocking',
    error: 'table_without_primary_key',
    title: 'A tenant table has no primary key by which its rows can be followed',
    remedy: 'Add one that begins with the tenant column, is not deferrable and has no generated column.',
  },
  replica_identity_unfit: {
    severity: 'blocking',
    error: 'table_without_primary_key',
    title: 'A tenant table does not log its primary key with changes',
    remedy: 'ALTER TABLE ... REPLICA IDENTITY DEFAULT, also for its partitions.',
  },
  table_unlogged: {
    severity: 'blocking',
    error: 'table_without_primary_key',
    title: 'A tenant table is unlogged, so that its changes cannot be followed',
    remedy: 'ALTER TABLE ... SET LOGGED, also for its partitions.',
  },
  table_inheritance: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'A tenant table inherits from another without being its partition',
    remedy: 'Make the tables partitions, or end the inheritance: rows would be carried over twice.',
  },
  row_security_off: {
    severity: 'blocking',
    error: 'table_not_protected',
    title: 'Row security is not enabled and forced on a tenant table',
    remedy: 'Run freehold.protect_table() for the table in a migration.',
  },
  sequence_out_of_reach: {
    severity: 'blocking',
    error: 'table_not_protected',
    title: 'The mover may not set a sequence from which a tenant table draws',
    remedy: 'Run freehold.protect_table() for the table again: it grants what is missing.',
  },
  replica_trigger: {
    severity: 'blocking',
    error: 'table_with_replica_trigger',
    title: 'A trigger would fire on the rows that the move carries over',
    remedy:
      'Let it fire on the application only (ALTER TABLE ... ENABLE TRIGGER); its effects are moved as rows.',
  },
  replica_rule: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'A rule would rewrite the changes that the move carries over',
    remedy:
      'Let it apply to the application only (ALTER TABLE ... ENABLE RULE); its effects are moved as rows.',
  },
  row_trigger: {
    severity: 'advisory',
    title: 'A trigger does not fire at the target for the rows that the move carries over',
    remedy:
      'Nothing, if all its effects are rows of the tenant: they are moved. What it does elsewhere happened once, at the source.',
  },
  table_rule: {
    severity: 'advisory',
    title: 'A rule does not apply at the target to the changes that the move carries over',
    remedy: 'Nothing, if all its effects are rows of the tenant: they are moved.',
  },
  shared_sequence: {
    severity: 'advisory',
    title: 'A column draws from a sequence that it does not own',
    remedy:
      'Do not rely on its numbers being unique: source and target both go on from where it stands at the switch.',
  },
  key_without_tenant: {
    severity: 'advisory',
    title:
      'A unique index or exclusion constraint does not begin with, or does not contain, the tenant column',
    remedy:
      'Add the tenant column in front: after the move it guards fewer tenants, and in a pool two tenants can collide.',
  },
  tenant_column_default: {
    severity: 'advisory',
    title: 'The tenant column is not filled in with the tenant who entered',
    remedy: 'Run freehold.protect_table() for the table again: it sets the default.',
  },

  // The databases
  database_outdated: {
    severity: 'blocking',
    error: 'move_blocked',
    title:
      'The schema freehold of the database that the tenant lives in, or would, is of an earlier version than the worker',
    remedy:
      'Run `freehold adopt` for that database, with the file of the secret and the passwords that are in use (--like): it brings the schema to the version of this release.',
  },
  extension_missing: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'Objects of the product need an extension that the target server does not have',
    remedy: "Install the extension's files on the target server, or choose another target.",
  },
  settings_differ: {
    severity: 'advisory',
    title: 'A setting of the database, or of the product’s role there, is not made at the target',
    remedy:
      "Make it at the target as well: ALTER ROLE freehold_app SET on its server, or ALTER DATABASE ... SET once the tenant's database is there.",
  },
  extension_unused: {
    severity: 'advisory',
    title: 'The target server does not have an extension that the source has and nothing needs',
    remedy: 'Nothing, unless queries of the product call it: then install it on the target server.',
  },
  encoding_differs: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'The databases have different encodings',
    remedy: "Give the target cluster's template1 the encoding of the source, or choose another target.",
  },
  collation_differs: {
    severity: 'advisory',
    title: 'The databases sort text differently',
    remedy:
      "Make sure that the product does not rely on the order, or give the target's template1 the same locale and provider.",
  },
  collation_outdated: {
    severity: 'advisory',
    title: 'A database was made with another version of its collation than the server has now',
    remedy: 'REINDEX what is sorted by it, then ALTER DATABASE ... REFRESH COLLATION VERSION.',
  },
  large_objects: {
    severity: 'advisory',
    title: 'The source has large objects, which are not moved',
    remedy: 'Keep what belongs to tenants in bytea columns of tenant tables.',
  },
  event_trigger: {
    severity: 'advisory',
    title: 'An event trigger fires on the schema changes of a move',
    remedy:
      'Make sure that it lets freehold_owner create and drop publications, schemas, tables and indexes.',
  },

  // The servers
  server_unsupported: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'A server is older than PostgreSQL 15',
    remedy: 'Upgrade it: row filters of publications came with PostgreSQL 15.',
  },
  server_untested: {
    severity: 'advisory',
    title: 'A server is newer than the versions that moves are tested with',
    remedy: 'Try the move with a tenant that matters less first.',
  },
  server_older: {
    severity: 'advisory',
    title: 'The target server is older than the source',
    remedy: 'Make sure that the product needs nothing that came in between.',
  },
  feature_missing: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'The target server is too old for something that a tenant table uses',
    remedy: 'Upgrade the target server, or choose another target.',
  },
  routine_missing: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'The target server lacks a function or a syntax that the product is made with',
    remedy: 'Upgrade the target server, choose another target, or have the migrations do without it.',
  },
  value_unsupported: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'The tenant has a value that the target server cannot hold',
    remedy: 'Upgrade the target server, choose another target, or change the value.',
  },

  // Roles
  role_missing: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'A cluster lacks one of the roles of Freehold',
    remedy: 'Prepare the cluster: it needs freehold_owner, freehold_mover and freehold_app.',
  },
  role_right_missing: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'A role lacks a right that moves need',
    remedy: 'Grant it as superuser; the finding names the right.',
  },
  role_too_powerful: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'A role could pass by row security',
    remedy: 'ALTER ROLE ... NOSUPERUSER NOBYPASSRLS.',
  },

  // The change stream
  logical_decoding_off: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'The source server does not log what a change stream needs',
    remedy: 'Set wal_level = logical on the source server and restart it.',
  },
  followed_by_triggers: {
    severity: 'advisory',
    title: 'The change stream comes from triggers on the tables of the source',
    remedy: 'Nothing needs to be done: every write of the tenant costs a little more until it has moved.',
  },
  followed_back_by_triggers: {
    severity: 'advisory',
    title: 'While the rollback window is open, triggers on the tables of the target note what has changed',
    remedy:
      'Nothing needs to be done: every write of the tenant costs a little more until the window has closed. To have the log instead, mend what is named.',
  },
  slots_exhausted: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'The source server has too few replication slots left',
    remedy: 'Drop slots that nobody reads, or raise max_replication_slots and restart the server.',
  },
  senders_exhausted: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'The source server has too few WAL senders left',
    remedy: 'Raise max_wal_senders and restart the server, or wait for other moves to end.',
  },
  connections_exhausted: {
    severity: 'blocking',
    error: 'move_blocked',
    title: 'A server has too few connections left for the move',
    remedy: 'Raise max_connections, put a pooler in front of the product, or move at a quieter time.',
  },
  slot_may_be_lost: {
    severity: 'advisory',
    title: 'A server gives up a replication slot that is behind or idle',
    remedy:
      'Lift max_slot_wal_keep_size or idle_replication_slot_timeout for the time of the move; on the target, until its rollback window has closed.',
  },
  slot_lost: {
    severity: 'blocking',
    error: 'change_stream_failed',
    title: 'The source server has given up the replication slot of the move',
    remedy: 'Raise max_slot_wal_keep_size on the source server and start the move again.',
  },

  // Room
  target_without_room: {
    severity: 'blocking',
    error: 'target_without_room',
    title: 'The target cluster has no room for the tenant',
    remedy: 'Free space on the cluster, raise its capacity in the catalog, or choose another target.',
  },
  window_without_room: {
    severity: 'advisory',
    title: 'What is kept for a rollback may take more room than the target cluster has',
    remedy:
      'Free space on the target cluster, or choose a shorter window. Only an old home that cannot be reached has anything kept for long; the move can be finalized any time.',
  },
  source_without_room: {
    severity: 'advisory',
    title: 'The log that is kept for the move may take more room than the source cluster has',
    remedy: 'Free space on the source cluster, or move at a quieter time.',
  },

  // What is under way at the source
  transaction_open: {
    severity: 'advisory',
    title: 'A transaction at the source has been writing for long; the change stream begins after it',
    remedy: 'Wait for it, or end it with pg_terminate_backend().',
  },
  writer_not_entered: {
    severity: 'advisory',
    title:
      'A transaction that has not entered as a tenant is writing to the tables of tenants; the switch waits for its end',
    remedy:
      'Let it end before the switch, and have what may pass by row security (data fixes, imports) stand still until the move is over.',
  },
  prepared_transaction: {
    severity: 'blocking',
    error: 'source_busy',
    title: 'A prepared transaction at the source keeps the change stream from beginning',
    remedy: 'COMMIT PREPARED or ROLLBACK PREPARED it, in its database.',
  },
} as const satisfies Readonly<Record<string, FindingDefinition>>

export type FindingCode = keyof typeof findingRegistry
