import { setTimeout as sleep } from 'node:timers/promises'
import { type OperationId, operationIdSchema } from '@freehold/contract'
import { clientConfig, parseDatabaseUrl } from '@freehold/postgres'
import { createPostgresBackend, type Job, type PostgresPoolConfig, Queue, Worker } from 'bullmq'
import { z } from 'zod'
import { describeFailure } from './failure.ts'
import type { Logger } from './logger.ts'

// The queue makes things happen sooner and decides nothing: what is to be done stands in the catalog, which workers
// also poll. So whatever goes wrong here is logged and gone on from.

/** Where the nudges travel. In a Postgres database BullMQ creates a schema of its own. */
export type QueueLocation = { readonly redisUrl: string } | { readonly databaseUrl: string }

/** The sending side. */
export interface OperationQueue {
  /**
   * Asks workers to look at an operation now. Nudges of one operation that nobody has taken yet are one; a nudge
   * that comes while one is being handled is delivered after it. Never rejects, and gives up after 1 s.
   */
  nudge(operationId: OperationId): Promise<void>
  close(): Promise<void>
}

/** The receiving side. */
export interface NudgeReceiver {
  close(): Promise<void>
}

const QUEUE_NAME = 'freehold-operations'
const JOB_NAME = 'nudge'
const PATIENCE_MS = 1_000
const RECONNECT_MS = 2_000
const CONCURRENT_NUDGES = 16
const POSTGRES_CONNECTIONS = 3

/** The whole payload: whoever reads the queue learns nothing about a tenant. */
const nudgeSchema = z.strictObject({ operationId: operationIdSchema })

/** Opens the sending side. The queue may be away, now and later. */
export function openQueue(location: QueueLocation, logger: Logger): OperationQueue {
  let queue: ReturnType<typeof connectQueue> | undefined
  const pending = new Set<Promise<void>>()

  async function send(operationId: OperationId): Promise<void> {
    queue ??= connectQueue(location, logger)
    const current = queue
    try {
      await current.add(JOB_NAME, nudgeSchema.parse({ operationId }), {
        deduplication: { id: operationId, keepLastIfActive: true },
        removeOnComplete: true,
        removeOnFail: true,
      })
    } catch (error) {
      // BullMQ remembers a start on Postgres that failed for ever, so the next nudge starts anew.
      if (queue === current) queue = undefined
      await current.close().catch(() => undefined)
      throw error
    }
  }

  return {
    async nudge(operationId) {
      const sending = send(operationId)
      pending.add(sending)
      const settled = sending.finally(() => pending.delete(sending))
      try {
        await withPatience(settled)
      } catch (error) {
        const failure = describeFailure(error)
        logger.warn(
          { operation: operationId, failure },
          'queue not reached; the operation is found by polling',
        )
      }
    },
    async close() {
      const current = queue
      queue = undefined
      await withPatience(Promise.allSettled([current?.close(), ...pending])).catch(() => undefined)
    },
  }
}

/**
 * Opens the receiving side; a queue that is away is tried again until it is closed.
 *
 * @param onNudge hands the operation on and returns at once: who works on it is said by the operation's own lease,
 * and not by a job of the queue.
 */
export function receiveNudges(
  location: QueueLocation,
  logger: Logger,
  onNudge: (operationId: OperationId) => void,
): NudgeReceiver {
  const stop = new AbortController()
  const stopped = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()))
  const finished = keepReceiving()

  async function keepReceiving(): Promise<void> {
    while (!stop.signal.aborted) {
      const worker = connectWorker(location, logger, onNudge)
      try {
        await Promise.race([worker.waitUntilReady(), stopped])
        await stopped
      } catch (error) {
        logger.warn({ failure: describeFailure(error) }, 'queue not reached; it will be tried again')
      }
      await withPatience(worker.close(true)).catch(() => undefined)
      await sleep(RECONNECT_MS, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  }

  return {
    async close() {
      stop.abort()
      await finished
    },
  }
}

function connectQueue(location: QueueLocation, logger: Logger) {
  const queue =
    'redisUrl' in location
      ? new Queue(QUEUE_NAME, { connection: { url: location.redisUrl, maxRetriesPerRequest: 1 } })
      : new Queue(QUEUE_NAME, { connection: onPostgres(location.databaseUrl) }, createPostgresBackend)
  queue.on('error', quietly(logger))
  return queue
}

function connectWorker(location: QueueLocation, logger: Logger, onNudge: (operationId: OperationId) => void) {
  const process = async (job: Job) => onNudge(nudgeSchema.parse(job.data).operationId)
  const settings = { concurrency: CONCURRENT_NUDGES }
  const worker =
    'redisUrl' in location
      ? new Worker(QUEUE_NAME, process, {
          ...settings,
          connection: { url: location.redisUrl, maxRetriesPerRequest: null },
        })
      : new Worker(
          QUEUE_NAME,
          process,
          { ...settings, connection: onPostgres(location.databaseUrl) },
          createPostgresBackend,
        )
  worker.on('error', quietly(logger))
  return worker
}

function onPostgres(databaseUrl: string): PostgresPoolConfig {
  const address = parseDatabaseUrl(databaseUrl)
  const { connectionString: _, ...config } = clientConfig(address, 'freehold-queue')
  const { host, port, database, user, password } = address
  return { ...config, host, port, database, user, password, max: POSTGRES_CONNECTIONS, migrate: true }
}

/** A connection that is away fails again and again: one line for each different failure. */
function quietly(logger: Logger): (error: Error) => void {
  let last: string | undefined
  return (error) => {
    const failure = describeFailure(error)
    if (failure === last) return
    last = failure
    logger.warn({ failure }, 'queue disturbed')
  }
}

async function withPatience<T>(work: Promise<T>): Promise<T> {
  const done = new AbortController()
  const timeout = sleep(PATIENCE_MS, undefined, { signal: done.signal }).then(() => {
    throw new Error(`no answer within ${PATIENCE_MS} ms`)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    timeout.catch(() => undefined)
    work.catch(() => undefined)
    done.abort()
  }
}
