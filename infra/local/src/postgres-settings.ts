/** Whether data survive a crash of the machine (`full`) or only crashes of the server (`fast`, for tests). */
export type Durability = 'full' | 'fast'

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_wal_senders: '32',
  max_replication_slots: '32',
  max_connections: '200',
  shared_buffers: '128MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  // Statements and details carry tenants' rows ("Key (email)=(...) already exists"): never into the log.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
}

/** Not synchronous_commit: without it the loss of a server loses commits that it has acknowledged. */
const FAST_SETTINGS = { fsync: 'off', full_page_writes: 'off' }

/** The settings of a server as arguments, so that they hold whatever stands in the data directory. */
export function settingsArguments(
  durability: Durability,
  settings: Readonly<Record<string, string>>,
): string[] {
  const all = { ...SETTINGS, ...(durability === 'fast' ? FAST_SETTINGS : {}), ...settings }
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}
