/**
 * What every session of the router has, whatever has been set for the role or the database. Product SQL runs as a role
 * that may change its own settings (`alter role freehold_app set ...`), and what one tenant set so would be there for all:
 * values written or read in another encoding or order of days, statements that cannot write, entry keys in messages.
 */
const PINNED: Readonly<Record<string, string>> = {
  bytea_output: 'hex',
  client_encoding: 'UTF8',
  datestyle: 'ISO, MDY',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  intervalstyle: 'postgres',
  log_parameter_max_length_on_error: '0',
  row_security: 'on',
  standard_conforming_strings: 'on',
}

/**
 * The settings for the startup packet, as `options` of libpq: they come before those of role and database, and a
 * DISCARD ALL returns to them.
 *
 * @param extra of the product's choice; it may not change what is pinned.
 */
export function sessionOptions(extra: Readonly<Record<string, string>> = {}): string {
  return Object.entries({ ...extra, ...PINNED })
    .map(([name, value]) => `-c ${name}=${value.replaceAll(/[\\ ]/g, '\\$&')}`)
    .join(' ')
}
