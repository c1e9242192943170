import type { ClientConfig } from 'pg'

/** How strictly the server's certificate is checked: not encrypted, encrypted, or encrypted and verified. */
export type TlsMode = 'disable' | 'require' | 'verify-full'

/** One database, and as whom to connect to it. */
export interface DatabaseAddress {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: string
  readonly tls: TlsMode
}

const CONNECT_TIMEOUT_MS = 5_000
/** Linux waits two hours before it asks for the first time. */
const KEEP_ALIVE_AFTER_MS = 10_000

/**
 * The settings of `pg` for an address. A server that does not answer within 5 s is reported as unreachable,
 * and a peer that vanishes without closing the connection is noticed by TCP keep-alive.
 *
 * @param applicationName shown in `pg_stat_activity`, so that an operator sees whose connection it is.
 */
export function clientConfig(address: DatabaseAddress, applicationName: string): ClientConfig {
  return {
    host: address.host,
    port: address.port,
    database: address.database,
    user: address.user,
    password: address.password,
    ssl: address.tls === 'disable' ? false : { rejectUnauthorized: address.tls === 'verify-full' },
    application_name: applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
  }
}

/** Parses `postgres://user:password@host:port/database?sslmode=...`, the form in which addresses are configured. */
export function parseDatabaseUrl(url: string): DatabaseAddress {
  const parsed = new URL(url)
  if (parsed.protocol !== 'postgres:' && parsed.protocol !== 'postgresql:') {
    throw new TypeError('a database URL begins with postgres://')
  }
  return {
    host: parsed.hostname,
    port: parsed.port === '' ? 5432 : Number(parsed.port),
    database: decodeURIComponent(parsed.pathname.slice(1)),
    user: decodeURIComponent(parsed.username),
    password: decodeURIComponent(parsed.password),
    tls: tlsMode(parsed.searchParams.get('sslmode')),
  }
}

/** The URL that {@link parseDatabaseUrl} makes the address of. It holds the password: keep it out of logs. */
export function formatDatabaseUrl(address: DatabaseAddress): string {
  const { user, password, host, port, database, tls } = address
  const credentials = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
  return `postgres://${credentials}@${host}:${port}/${encodeURIComponent(database)}?sslmode=${tls}`
}

function tlsMode(sslmode: string | null): TlsMode {
  if (sslmode === null) return 'verify-full'
  if (sslmode === 'disable' || sslmode === 'require' || sslmode === 'verify-full') return sslmode
  throw new TypeError('sslmode is disable, require or verify-full')
}
