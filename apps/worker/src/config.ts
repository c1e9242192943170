import { fileURLToPath } from 'node:url'
import { parseEnvironment } from '@freehold/contract'
import { defaultMoveSettings, type QueueLocation } from '@freehold/engine'
import { z } from 'zod'

const migrations = (name: string) => fileURLToPath(new URL(`../../../migrations/${name}`, import.meta.url))
const databaseUrl = z.url({ protocol: /^postgres(ql)?$/, message: 'must be a postgres:// URL' })
const milliseconds = (byDefault: number, most = 3_600_000) =>
  z.coerce.number().int().positive().max(most).default(byDefault)

const environmentSchema = z.object({
  /** The control database, as freehold_control. */
  FREEHOLD_CATALOG_URL: databaseUrl,
  /** What entry keys are derived from; the same in every process of a deployment. */
  FREEHOLD_ENTRY_SECRET: z.string().min(32, 'must have at least 32 characters'),
  /** The queue in Redis; without it, FREEHOLD_QUEUE_DATABASE_URL. */
  REDIS_URL: z.url({ protocol: /^rediss?$/, message: 'must be a redis:// URL' }).optional(),
  /** The queue in PostgreSQL: a database that its role may create a schema in. */
  FREEHOLD_QUEUE_DATABASE_URL: databaseUrl.optional(),
  /** Folder of the numbered SQL of every data database. */
  FREEHOLD_DATA_MIGRATIONS: z.string().default(migrations('data')),
  /** Folder of the numbered SQL of the product's tables. */
  FREEHOLD_PRODUCT_MIGRATIONS: z.string().default(migrations('product')),
  /** How long an operation stays with a worker that has died, ms. */
  FREEHOLD_LEASE_MS: milliseconds(10_000),
  /** How often the catalog is asked for what is due, ms. */
  FREEHOLD_POLL_MS: milliseconds(1_000),
  /** Operations that this worker runs at the same time. */
  FREEHOLD_WORKER_CONCURRENCY: z.coerce.number().int().min(1).max(64).default(4),
  /** Tables that one move copies at the same time. */
  FREEHOLD_COPY_STREAMS: z.coerce.number().int().min(1).max(16).default(defaultMoveSettings.copyStreams),
  /** Rows that a move copies or purges per second at most; 0: as fast as it can. */
  FREEHOLD_COPY_MAX_ROWS_PER_SECOND: z.coerce.number().int().min(0).max(2_147_483_647).default(0),
  /** Active sessions of others on a cluster beyond which copying and purging wait; 0: no limit. */
  FREEHOLD_COPY_MAX_ACTIVE_SESSIONS: z.coerce
    .number()
    .int()
    .min(0)
    .default(defaultMoveSettings.loadLimits.activeSessions),
  /** Seconds that a cluster's physical standbys may lag before copying and purging wait; 0: no limit. */
  FREEHOLD_COPY_MAX_STANDBY_LAG_SECONDS: z.coerce
    .number()
    .min(0)
    .default(defaultMoveSettings.loadLimits.standbyLagSeconds),
  /** How long a source refuses writers at most, if a worker dies during a switch, ms. */
  FREEHOLD_FENCE_EXPIRY_MS: milliseconds(defaultMoveSettings.fenceExpiryMs),
  /** How far a target may be behind when a switch begins, ms. */
  FREEHOLD_MAX_LAG_MS: milliseconds(defaultMoveSettings.maxLagMs),
  /** Switches called off after which a move is given up. */
  FREEHOLD_CUTOVER_ATTEMPTS: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(defaultMoveSettings.maxCutoverAttempts),
  /** How long a moment to switch is sought before a move is given up, ms. */
  FREEHOLD_CUTOVER_PATIENCE_MS: milliseconds(defaultMoveSettings.cutoverPatienceMs),
  /** How long to wait at most after a switch that was called off, ms. */
  FREEHOLD_CUTOVER_MAX_BACK_OFF_MS: milliseconds(defaultMoveSettings.cutoverBackOff.maxMs),
  /** How long a switch waits for the tenant's open transactions, ms. */
  FREEHOLD_LOCK_TIMEOUT_MS: milliseconds(defaultMoveSettings.lockTimeoutMs),
  /** How long a switch has writers of reference tables wait while these are compared, ms. */
  FREEHOLD_REFERENCE_HOLD_MS: milliseconds(defaultMoveSettings.referenceHoldMs),
  /** How long a move that is copied waits for a server that is away or busy before it is given up, ms. */
  FREEHOLD_SERVER_PATIENCE_MS: milliseconds(defaultMoveSettings.patienceMs, 86_400_000),
  /** How often the changes of a tenant in its rollback window are carried back, ms. */
  FREEHOLD_SOAK_INTERVAL_MS: milliseconds(defaultMoveSettings.soakIntervalMs),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
})

export type WorkerConfig = ReturnType<typeof readConfig>

/** @throws FreeholdError `config_invalid` */
export function readConfig(environment: NodeJS.ProcessEnv) {
  const config = parseEnvironment(
    environmentSchema.refine(
      (values) => values.REDIS_URL !== undefined || values.FREEHOLD_QUEUE_DATABASE_URL !== undefined,
      { path: ['REDIS_URL'], message: 'set it, or FREEHOLD_QUEUE_DATABASE_URL' },
    ),
    environment,
  )
  return { ...config, queue: queueLocation(config.REDIS_URL, config.FREEHOLD_QUEUE_DATABASE_URL) }
}

function queueLocation(redisUrl: string | undefined, databaseUrl: string | undefined): QueueLocation {
  return redisUrl === undefined ? { databaseUrl: databaseUrl ?? '' } : { redisUrl }
}
