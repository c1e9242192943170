import { FreeholdError } from '@freehold/contract'
import type { KyselyConfig } from 'kysely'
import { z } from 'zod'
import type { PlacementSource } from './placement/placement-source.ts'
import type { DeclaredTables } from './predicates/declared-tables.ts'

export interface RouterOptions {
  /** Where tenants live: the catalog. */
  readonly source: PlacementSource
  /** The deployment's FREEHOLD_ENTRY_SECRET, at least 32 characters. */
  readonly entrySecret: string
  /** Connections to one data database, at most; 10 unless set. */
  readonly maxConnectionsPerDatabase?: number
  /** How long a request waits for a connection, in ms, before `connection_budget_exhausted`; 5,000 unless set. */
  readonly connectionWaitMs?: number
  /** How long a request is held for a cutover, in ms, before `tenant_held`; 10,000 unless set. */
  readonly holdDeadlineMs?: number
  /** False behind a pooler that does not keep track of prepared statements; true unless set. */
  readonly preparedStatements?: boolean
  /**
   * The product's tables. With them every query that is built with Kysely is given its tenant's predicate, beside row
   * security, and a table that is missing here is refused: see {@link DeclaredTables}. Row security alone unless set.
   */
  readonly tables?: DeclaredTables
  /** Given to every tenant's Kysely instance. */
  readonly kysely?: Pick<KyselyConfig, 'plugins' | 'log'>
}

const limitsSchema = z.object({
  entrySecret: z.string().min(32, 'must be at least 32 characters'),
  maxConnectionsPerDatabase: z.int().min(1).default(10),
  connectionWaitMs: z.int().min(1).default(5_000),
  holdDeadlineMs: z.int().min(0).default(10_000),
  preparedStatements: z.boolean().default(true),
})

export type RouterLimits = Readonly<z.infer<typeof limitsSchema>>

/** @throws FreeholdError `config_invalid`, naming every wrong option and never its value. */
export function parseRouterOptions(options: RouterOptions): RouterLimits {
  const parsed = limitsSchema.safeParse(options)
  if (parsed.success) return Object.freeze(parsed.data)
  const issues = parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }))
  throw new FreeholdError(
    'config_invalid',
    `Wrong options of the router: ${issues.map((issue) => `${issue.path}: ${issue.message}`).join('; ')}.`,
    { issues },
  )
}
