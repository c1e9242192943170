/** What is fixed about an error code: it is public interface, never renamed and never reused. */
export interface ErrorDefinition {
  /** HTTP status with which the code is answered. */
  readonly status: number
  /** What happened, for a person, the same for every occurrence. */
  readonly title: string
  /** What to do next. */
  readonly next: string
}

/**
 * Every error that leaves Freehold carries one of these codes: in problem documents, in the CLI, in the
 * timeline of a move, in logs. `docs/errors.md` is generated from this registry.
 */
export const errorRegistry = {
  // Requests
  invalid_request: {
    status: 400,
    title: 'The request is not valid',
    next: 'Correct the fields named in `issues` and send it again. Nothing was changed.',
  },
  route_not_found: {
    status: 404,
    title: 'There is no such route',
    next: 'See /docs for the routes that exist.',
  },
  idempotency_key_reused: {
    status: 422,
    title: 'The Idempotency-Key was used for a different request',
    next: 'Send a new key for a new request, or the same body for a retry.',
  },
  rate_limited: {
    status: 429,
    title: 'Too many requests',
    next: 'Wait for the time in Retry-After, then try again.',
  },

  // What a client (console, CLI) finds by itself
  api_unreachable: {
    status: 503,
    title: 'The control API cannot be reached',
    next: 'Check that it runs and that the address is right, then try again.',
  },
  answer_not_understood: {
    status: 502,
    title: 'The answer of the control API was not understood',
    next: 'Bring client and server to the same version: reload the console, or update the CLI.',
  },

  // Who is asking
  unauthenticated: {
    status: 401,
    title: 'The request carries no valid token',
    next: 'Send `Authorization: Bearer <token>` with a token that this service accepts.',
  },
  token_malformed: {
    status: 401,
    title: 'The token is malformed or its signature does not hold',
    next: 'Get a new token from whoever issued this one.',
  },
  token_expired: {
    status: 401,
    title: 'The token has expired',
    next: 'Sign in again to get a new token.',
  },
  api_key_invalid: {
    status: 401,
    title: 'The API key is not valid',
    next: 'Get a new key from whoever issued this one; it may have expired or been revoked.',
  },
  identity_provider_unavailable: {
    status: 503,
    title: 'The keys of the identity provider cannot be had',
    next: 'Retry after the time in Retry-After; if it persists, check that the provider can be reached.',
  },
  forbidden: {
    status: 403,
    title: 'This is not allowed',
    next: 'Ask an operator for credentials with the needed role, and check for whom the request was meant.',
  },

  // Tenants and placements
  tenant_not_found: {
    status: 404,
    title: 'There is no such tenant',
    next: 'Check the id or slug; `freehold tenants list` shows the tenants that exist.',
  },
  tenant_id_taken: {
    status: 409,
    title: 'Another tenant has this id',
    next: 'Leave the id out for a new one, or choose another.',
  },
  tenant_id_unfit: {
    status: 422,
    title: 'The id is not a value of the tenant column',
    next: 'Choose an id of the tenant column’s type, written as PostgreSQL writes it: 42 and not 042.',
  },
  tenant_slug_taken: {
    status: 409,
    title: 'Another tenant has this slug',
    next: 'Choose another slug.',
  },
  tenant_suspended: {
    status: 403,
    title: 'The tenant is suspended',
    next: 'Ask an operator to reactivate the tenant.',
  },
  tenant_context_missing: {
    status: 500,
    title: 'A query was made without a tenant',
    next: 'Use request.db, router.forTenant(id) or runAsTenant(); no rows are visible outside a tenant.',
  },
  tenant_fixed: {
    status: 500,
    title: 'Code that runs as one tenant tried to act for another',
    next: 'Act for one tenant at a time, or leave the context with outsideTenant() where code goes over tenants.',
  },
  table_not_declared: {
    status: 500,
    title: 'A query names a table that the router does not know',
    next: "Declare the table in the router's `tables`: under `tenant` if it has a tenant column, else under `reference`.",
  },
  foreign_tenant_id: {
    status: 403,
    title: 'A statement carries the id of another tenant',
    next: 'Leave the tenant column out: it is filled in. Execute a compiled query with the instance that compiled it. Nothing was sent to the database.',
  },
  tenant_not_checkable: {
    status: 500,
    title: 'It cannot be checked before it is sent whose rows a statement reads or writes',
    next: 'Leave the tenant column out, and name the other columns of an insert: the tenant is filled in. Give a table its alias by .as().',
  },
  tenant_held: {
    status: 503,
    title: 'The tenant is being switched to another placement and did not become available in time',
    next: 'Retry after the time in Retry-After. Nothing was changed by this request.',
  },
  not_resident: {
    status: 503,
    title: 'The tenant is not where the catalog says it is',
    next: 'Retry. If it persists, compare the placement in the catalog with freehold.resident in its database.',
  },
  residency_violation: {
    status: 409,
    title: 'The placement lies outside the jurisdiction to which the tenant is pinned',
    next: "Choose a target in the tenant's jurisdiction, or have the pin changed first.",
  },
  region_not_found: {
    status: 404,
    title: 'There is no such region',
    next: '`freehold topology` shows the regions that exist.',
  },
  tier_not_found: {
    status: 404,
    title: 'There is no such tier',
    next: '`freehold topology` shows the tiers that exist.',
  },
  pool_not_found: {
    status: 409,
    title: 'There is no such pool, or none there that accepts tenants',
    next: 'Name a pool that `freehold topology` shows, register one, or choose another region or cluster.',
  },

  // How a product knows a tenant
  host_taken: {
    status: 409,
    title: 'The host leads to a tenant already',
    next: 'Remove it from the tenant that has it, then add it again.',
  },
  host_not_found: {
    status: 404,
    title: 'The tenant has no such host',
    next: 'List the hosts of the tenant for the ids that exist.',
  },
  api_key_not_found: {
    status: 404,
    title: 'The tenant has no such API key',
    next: 'List the API keys of the tenant for the ids that exist.',
  },
  membership_exists: {
    status: 409,
    title: 'The person is a member of the tenant already',
    next: 'To change the role, remove the membership and add it again.',
  },
  membership_not_found: {
    status: 404,
    title: 'The tenant has no such membership',
    next: 'List the memberships of the tenant for the ids that exist.',
  },

  // Moves
  tenant_moving: {
    status: 409,
    title: 'The tenant is already being moved',
    next: 'Wait for the running move to end, or cancel it.',
  },
  move_not_found: {
    status: 404,
    title: 'There is no such move',
    next: '`freehold moves list` shows the moves that exist.',
  },
  move_not_cancellable: {
    status: 409,
    title: 'The move can no longer be cancelled',
    next: 'It is past the point of no return and completes by itself; move the tenant again afterwards.',
  },
  move_not_pausable: {
    status: 409,
    title: 'The move cannot be paused now',
    next: 'A move that is being switched or given up goes to the end of that; pause it afterwards if it goes on.',
  },
  move_needs_no_approval: {
    status: 409,
    title: 'The move waits for no approval',
    next: 'Only moves started with `cutover.approve` (`--approve`) are approved; `freehold moves get` shows what this one waits for.',
  },
  cluster_not_found: {
    status: 404,
    title: 'There is no such cluster',
    next: '`freehold topology` shows the clusters that exist.',
  },
  cluster_draining: {
    status: 409,
    title: 'The cluster is being emptied and takes nothing new',
    next: 'Choose another cluster, or end it with `freehold clusters undrain`.',
  },
  evacuation_not_found: {
    status: 404,
    title: 'The cluster has never been drained',
    next: '`freehold clusters drain` empties it; `freehold topology` shows the clusters that exist.',
  },
  rollback_not_possible: {
    status: 409,
    title: 'The move cannot be rolled back now',
    next: 'A move can be rolled back while its window is open (phase soak). Otherwise move the tenant in the other direction.',
  },
  rollback_unsafe: {
    status: 409,
    title: 'The old home is not in step any more, so rolling back would lose writes',
    next: 'The tenant works on where it is. `freehold moves finalize` ends the move; to bring the tenant back, move it again.',
  },
  rollback_window_unavailable: {
    status: 422,
    title: 'The target cannot keep the old home in step by its log, which was asked for',
    next: 'Start the move without `--change-stream logical`, mend what is named, or start it without a window: `rollbackWindowSeconds` 0, `--rollback-window 0`.',
  },
  move_not_finalizable: {
    status: 409,
    title: 'The move has no open rollback window that could be ended',
    next: 'Only a move in phase soak can be finalized early, and only while it is not being rolled back.',
  },
  target_not_found: {
    status: 404,
    title: 'There is no cluster that could take the tenant',
    next: '`freehold topology` shows regions and clusters; register one in the region, or choose another target.',
  },
  target_is_home: {
    status: 409,
    title: 'The tenant already lives at the target',
    next: 'Choose another target.',
  },
  target_unreachable: {
    status: 503,
    title: 'The target cluster cannot be reached',
    next: 'Check that the cluster runs and that its address and credentials in the catalog are right.',
  },
  target_gone: {
    status: 409,
    title: 'The database that the tenant was being moved to has been dropped',
    next: 'The tenant stays where it was. Find out who has dropped the database, then move the tenant again.',
  },
  target_without_room: {
    status: 409,
    title: 'The target cluster has no room for the tenant',
    next: 'Free space on the cluster, raise its capacity in the catalog, or choose another target.',
  },
  migration_failed: {
    status: 409,
    title: 'A migration could not be applied to a database',
    next: 'The message names the migration and what the server refused. What a server of an older version lacks, a later migration cannot mend: upgrade the server, choose another target, or have the migration do without it.',
  },
  value_refused: {
    status: 409,
    title: 'A server does not take a value that the tenant has',
    next: 'The tenant stays where it was. Servers of different versions differ in what they can hold: choose a target of the version of the source, or change the value.',
  },
  target_occupied: {
    status: 409,
    title: 'The target pool holds rows of the tenant already',
    next: 'If an earlier move has just been given up, its rows are being removed: try again soon. Otherwise look at whose they are.',
  },
  key_collision: {
    status: 409,
    title: 'Keys of the tenant collide with those of others at the target',
    next: 'Let the constraint begin with the tenant column, or choose a target of another isolation.',
  },
  foreign_key_broken: {
    status: 422,
    title: 'Rows of the tenant refer to rows that the target does not have',
    next: 'Bring the reference tables up to date in the pool that lacks the rows, then do it again.',
  },
  source_unreachable: {
    status: 503,
    title: "The tenant's current database cannot be reached",
    next: 'Check that the cluster runs and that its address and credentials in the catalog are right.',
  },
  table_without_primary_key: {
    status: 422,
    title: 'A tenant table has no primary key',
    next: 'Add a primary key that begins with the tenant column; without one a changed row cannot be identified.',
  },
  table_without_tenant_column: {
    status: 422,
    title: 'A table has no tenant column',
    next: 'Add the tenant column, or declare the table with freehold.declare_reference_table().',
  },
  table_not_protected: {
    status: 422,
    title: 'Row-level security is not enabled and forced on a tenant table',
    next: 'Run freehold.protect_table() for the table in a migration.',
  },
  table_with_replica_trigger: {
    status: 422,
    title: 'A tenant table has a trigger that fires on rows which a move carries over',
    next: 'Let it fire on the application only (ALTER TABLE ... ENABLE TRIGGER); its effects are moved as rows.',
  },
  move_blocked: {
    status: 409,
    title: 'A check before the move found what stands in its way',
    next: '`freehold tenants promote --dry-run` names every finding with its remedy; start the move again after it.',
  },
  schema_mismatch: {
    status: 422,
    title: 'The tables of source and target differ',
    next: 'Bring both databases to the same version of the product schema. A move that has paused for it copies anew when it is resumed; until then it can be cancelled.',
  },
  source_busy: {
    status: 503,
    title: 'A transaction on the source has been open for too long',
    next: 'Look for old transactions in pg_stat_activity of the source cluster, in every database, and end them.',
  },
  verification_failed: {
    status: 500,
    title: 'Source and target differ after the copy',
    next: 'The tenant stays where it was. Look at the tables named in the move, then start it again.',
  },
  switch_called_off: {
    status: 503,
    title: 'A switch was called off before anything was switched, and is tried again',
    next: 'Writes go on where the tenant is. If it is called off again and again, look for load and locks on the tenant’s tables at the target.',
  },
  cutover_timeout: {
    status: 504,
    title: 'The switch could not be made within its time limit',
    next: 'The tenant stays where it was. Look for long transactions of the tenant, and for load and locks on its tables at the target; then start the move again.',
  },
  reference_table_too_large: {
    status: 422,
    title: 'Reference tables take too long to be compared while nobody may write to them',
    next: 'The tenant stays where it was. Have their writers wait for longer (FREEHOLD_REFERENCE_HOLD_MS of the worker), move when the server is less busy, or take out of the table that is named what not every tenant needs; then start the move again.',
  },
  change_stream_failed: {
    status: 500,
    title: 'The stream of changes from the source broke and could not be resumed',
    next: 'The tenant stays where it was. Check replication slots and disk room on the source, then start again.',
  },
  move_cancelled: {
    status: 409,
    title: 'The move was cancelled',
    next: 'The tenant stays where it was. Start a new move when wanted.',
  },
  row_not_readable: {
    status: 409,
    title: 'A row came to the tenant during the move and left again before all of it could be read',
    next: 'Start the move again when no rows change their tenant column, or have it follow by triggers: `--change-stream triggers`.',
  },
  operation_retries_exhausted: {
    status: 500,
    title: 'The operation failed repeatedly and was given up',
    next: 'Read the timeline of the operation for the cause, mend it, then start it again.',
  },
  lease_lost: {
    status: 409,
    title: 'Another worker has taken over the operation',
    next: 'Nothing to do: the other worker carries on.',
  },

  // freehold doctor
  inspected_database_unreachable: {
    status: 503,
    title: 'The database that was to be examined cannot be reached',
    next: 'Check host, port, sslmode and that the server runs, then try again. Nothing was changed.',
  },
  inspected_database_refused: {
    status: 401,
    title: 'The database that was to be examined refused the connection',
    next: 'Check user, password and database; the password may also be in PGPASSWORD or --password-ref env:NAME.',
  },
  inspection_failed: {
    status: 500,
    title: 'The examination of the database could not be finished',
    next: 'Mend what the message names, then run it again. Nothing was changed.',
  },

  // Infrastructure
  catalog_unavailable: {
    status: 503,
    title: 'The control database cannot be reached',
    next: 'Tenants in the routers’ caches keep being served. Bring the control database back, then retry.',
  },
  database_unavailable: {
    status: 503,
    title: "The tenant's database cannot be reached",
    next: 'Retry after the time in Retry-After; if it persists, check the cluster.',
  },
  unsafe_role: {
    status: 500,
    title: 'The role of the router is one that row security does not stop',
    next: 'Connect as a role that owns no tenant table, is no superuser, has no BYPASSRLS and is a member of no such role; `freehold doctor` names what is wrong.',
  },
  connection_budget_exhausted: {
    status: 503,
    title: 'No database connection became free in time',
    next: 'Retry after the time in Retry-After; if it persists, raise the connection budget or find slow queries.',
  },
  cache_unavailable: {
    status: 503,
    title: 'The cache cannot be reached, so it may go on answering with what should be gone',
    next: 'Retry after the time in Retry-After; entries end by themselves when their time is over.',
  },
  queue_unavailable: {
    status: 503,
    title: 'The queue cannot be reached',
    next: 'Retry after the time in Retry-After. Whether the job was taken is not known: let jobs be safe to run twice.',
  },
  too_many_jobs: {
    status: 429,
    title: 'The tenant has as many jobs as it may',
    next: 'Retry after the time in Retry-After, when some have ended; or raise `maxWaiting` for its tier. Nothing was put in.',
  },
  region_not_served: {
    status: 500,
    title: "Nothing is set up for the tenant's region",
    next: 'Configure a cache store or a queue for the region; nothing is kept in another one instead.',
  },
  outcome_unknown: {
    status: 500,
    title: 'The connection broke during the commit, so whether it took effect is unknown',
    next: 'Read the data before writing again, or make the write idempotent.',
  },
  transaction_lost: {
    status: 500,
    title: 'The transaction ended before the router ended it',
    next: 'Do not send COMMIT, ROLLBACK or similar as raw SQL; use the transaction methods of Kysely.',
  },
  session_required: {
    status: 500,
    title: 'A statement needs a session of its own, and a pooler in transaction mode gives none',
    next: 'Use what ends with the transaction (SET LOCAL, pg_advisory_xact_lock, READ COMMITTED), or connect directly.',
  },
  service_stopping: {
    status: 503,
    title: 'The service is being stopped',
    next: 'Send the request again: another instance answers it, or this one after its restart.',
  },
  config_invalid: {
    status: 500,
    title: 'The configuration is not valid',
    next: 'Correct the variables named in the message, then start again.',
  },
  stack_already_running: {
    status: 409,
    title: 'The embedded stack is already running',
    next: 'Use the one that runs, or stop it first; two servers must not share one data directory.',
  },
  stack_start_failed: {
    status: 500,
    title: 'A process of the embedded stack did not start',
    next: 'Read the end of its log in the message, mend the cause, then start again. The data are untouched.',
  },
  internal: {
    status: 500,
    title: 'Something failed that should not have',
    next: 'Look for the request id in the log of the service.',
  },
} as const satisfies Record<string, ErrorDefinition>

export type ErrorCode = keyof typeof errorRegistry

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorRegistry, code)
}
