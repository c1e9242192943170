/** The major versions of PostgreSQL of which servers can be started; the stack runs on the last. */
export const POSTGRES_VERSIONS = [15, 16, 17, 18] as const

/** A major version of PostgreSQL. */
export type PostgresVersion = (typeof POSTGRES_VERSIONS)[number]

/** The version that is installed with Freehold. The others are for tests and benchmarks, and installed with them. */
export const BUNDLED_VERSION = 18 satisfies PostgresVersion
