import { hostname } from 'node:os'
import { openCatalog } from '@freehold/catalog'
import { defaultMoveSettings, Engine, type Logger, receiveNudges } from '@freehold/engine'
import { parseDatabaseUrl } from '@freehold/postgres'
import type { WorkerConfig } from './config.ts'

export interface RunningWorker {
  /** Takes nothing new, gives back what runs at its next safe point, and closes every connection. */
  stop(): Promise<void>
}

/**
 * Starts a worker: an engine, nudged by the queue and by its own clock.
 *
 * @param barrier called at every durable write of a move; a test stops the process there.
 */
export function startWorker(
  config: WorkerConfig,
  logger: Logger,
  barrier?: (name: string) => Promise<void>,
): RunningWorker {
  const catalog = openCatalog({
    address: parseDatabaseUrl(config.FREEHOLD_CATALOG_URL),
    applicationName: 'freehold-worker',
  })
  const engine = new Engine({
    catalog,
    logger,
    owner: `${hostname()}:${process.pid}`,
    leaseMs: config.FREEHOLD_LEASE_MS,
    pollMs: config.FREEHOLD_POLL_MS,
    concurrency: config.FREEHOLD_WORKER_CONCURRENCY,
    settings: {
      ...defaultMoveSettings,
      entrySecret: config.FREEHOLD_ENTRY_SECRET,
      migrations: {
        freehold: config.FREEHOLD_DATA_MIGRATIONS,
        product: config.FREEHOLD_PRODUCT_MIGRATIONS,
      },
      copyStreams: config.FREEHOLD_COPY_STREAMS,
      maxRowsPerSecond: config.FREEHOLD_COPY_MAX_ROWS_PER_SECOND || undefined,
      loadLimits: {
        activeSessions: config.FREEHOLD_COPY_MAX_ACTIVE_SESSIONS,
        standbyLagSeconds: config.FREEHOLD_COPY_MAX_STANDBY_LAG_SECONDS,
      },
      fenceExpiryMs: config.FREEHOLD_FENCE_EXPIRY_MS,
      lockTimeoutMs: config.FREEHOLD_LOCK_TIMEOUT_MS,
      referenceHoldMs: config.FREEHOLD_REFERENCE_HOLD_MS,
      patienceMs: config.FREEHOLD_SERVER_PATIENCE_MS,
      soakIntervalMs: config.FREEHOLD_SOAK_INTERVAL_MS,
      maxLagMs: config.FREEHOLD_MAX_LAG_MS,
      maxCutoverAttempts: config.FREEHOLD_CUTOVER_ATTEMPTS,
      cutoverPatienceMs: config.FREEHOLD_CUTOVER_PATIENCE_MS,
      cutoverBackOff: {
        ...defaultMoveSettings.cutoverBackOff,
        maxMs: config.FREEHOLD_CUTOVER_MAX_BACK_OFF_MS,
      },
    },
    ...(barrier === undefined ? {} : { barrier }),
  })
  engine.start()
  const nudges = receiveNudges(config.queue, logger, (id) => void engine.nudge(id))
  return {
    async stop() {
      await nudges.close()
      await engine.stop()
      await catalog.close()
    },
  }
}
