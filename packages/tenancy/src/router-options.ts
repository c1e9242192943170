import { FreeholdError } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import type { KyselyConfig } from 'kysely'
import { z } from 'zod'
import type { PlacementSource } from './placement/placement-source.ts'
import type { DeclaredTables } from './predicates/declared-tables.ts'

export interface RouterOptions {
  /** Where tenants live: the catalog. */
  readonly source: PlacementSource
  /** The deployment's FREEHOLD_ENTRY_SECRET, at least 32 characters. */
  readonly entrySecret: string
  /** Connections of this process to all data databases together, at most; 50 unless set. */
  readonly maxConnections?: number
  /** Connections to one data database, at most; 10 unless set. */
  readonly maxConnectionsPerDatabase?: number
  /**
   * Connections that one tenant may have to a database that it shares, at most, so that its neighbours find one;
   * three quarters of the database's unless set, and at least one.
   */
  readonly maxConnectionsPerTenant?: number
  /** How long a request waits for a connection, in ms, before `connection_budget_exhausted`; 5,000 unless set. */
  readonly connectionWaitMs?: number
  /** How long a request is held for a cutover, in ms, before `tenant_held`; 10,000 unless set. */
  readonly holdDeadlineMs?: number
  /**
   * `transaction`: a pooler in transaction mode, such as PgBouncer, stands between the router and the databases. What
   * would stay on a session is then refused or undone, with `session_required`; see the README. Nothing unless set.
   */
  readonly pooler?: 'transaction'
  /**
   * Where the pooler of a database is. The catalog has the database's own address, because moves need that: replication
   * does not go through a pooler. Unless set, the router connects to the addresses that its source gives.
   */
  readonly poolerAddress?: (database: DatabaseAddress) => DatabaseAddress
  /**
   * Whether to use named prepared statements: true unless set, but false behind a pooler. Set it to true there if the
   * pooler keeps track of them, as PgBouncer does from 1.21 with `max_prepared_statements`.
   */
  readonly preparedStatements?: boolean
  /**
   * Settings of every session of the router, such as `{ statement_timeout: '30s' }`. They come before what is set for
   * the role, which SQL of any tenant could change. Not behind a pooler.
   */
  readonly session?: Readonly<Record<string, string>>
  /** Tenants whose placement is remembered, at most; 100,000 unless set. Each takes less than 1 KB. */
  readonly maxCachedTenants?: number
  /**
   * Loads the placements of this many tenants at the start, in the background, so that their first request need not
   * ask the catalog; see {@link Router.ready}. Nothing is loaded unless set.
   */
  readonly warmStart?: { readonly tenants: number }
  /**
   * The product's tables. With them every query that is built with Kysely is given its tenant's predicate, beside row
   * security, and a table that is missing here is refused: see {@link DeclaredTables}. Row security alone unless set.
   */
  readonly tables?: DeclaredTables
  /** Given to every tenant's Kysely instance. */
  readonly kysely?: Pick<KyselyConfig, 'plugins' | 'log'>
}

/** A map of JavaScript holds about 16.7 million. */
const MAX_CACHED_TENANTS = 10_000_000

const limitsSchema = z.object({
  entrySecret: z.string().min(32, 'must be at least 32 characters'),
  maxConnections: z.int().min(1).default(50),
  maxConnectionsPerDatabase: z.int().min(1).default(10),
  maxConnectionsPerTenant: z.int().min(1).optional(),
  connectionWaitMs: z.int().min(1).default(5_000),
  holdDeadlineMs: z.int().min(0).default(10_000),
  pooler: z.literal('transaction').optional(),
  preparedStatements: z.boolean().optional(),
  session: z
    .record(z.string().regex(/^[a-z][a-z0-9_.]*$/, 'is not the name of a setting'), z.string().max(1_000))
    .optional(),
  maxCachedTenants: z.int().min(1).max(MAX_CACHED_TENANTS).default(100_000),
  warmStart: z.object({ tenants: z.int().min(1) }).optional(),
})

type ParsedLimits = z.infer<typeof limitsSchema>

export type RouterLimits = Readonly<
  ParsedLimits & { maxConnectionsPerTenant: number; preparedStatements: boolean }
>

/** @throws FreeholdError `config_invalid`, naming every wrong option and never its value. */
export function parseRouterOptions(options: RouterOptions): RouterLimits {
  const parsed = limitsSchema.safeParse(options)
  if (options.warmStart && !options.source.page) {
    throw new FreeholdError(
      'config_invalid',
      'Wrong options of the router: warmStart: the source lists no routes.',
      {
        issues: [{ path: 'warmStart', message: 'the source lists no routes' }],
      },
    )
  }
  if (options.session && options.pooler) {
    throw new FreeholdError(
      'config_invalid',
      'Wrong options of the router: session: a pooler does not pass settings on.',
      { issues: [{ path: 'session', message: 'a pooler does not pass settings on' }] },
    )
  }
  if (parsed.success) {
    const maxConnectionsPerTenant = parsed.data.maxConnectionsPerTenant ?? threeQuarters(parsed.data)
    const preparedStatements = parsed.data.preparedStatements ?? parsed.data.pooler === undefined
    return Object.freeze({ ...parsed.data, maxConnectionsPerTenant, preparedStatements })
  }
  const issues = parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }))
  throw new FreeholdError(
    'config_invalid',
    `Wrong options of the router: ${issues.map((issue) => `${issue.path}: ${issue.message}`).join('; ')}.`,
    { issues },
  )
}

function threeQuarters({ maxConnections, maxConnectionsPerDatabase }: ParsedLimits): number {
  return Math.max(1, Math.floor((Math.min(maxConnections, maxConnectionsPerDatabase) * 3) / 4))
}
