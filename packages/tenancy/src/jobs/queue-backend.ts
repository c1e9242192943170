import { clientConfig, parseDatabaseUrl } from '@freehold/postgres'
import {
  createPostgresBackend,
  type Job,
  type JobState,
  type PostgresPoolConfig,
  Queue,
  Worker,
  type WorkerOptions,
} from 'bullmq'
import { Redis } from 'ioredis'
import { postgresTickets } from './postgres-tickets.ts'
import { redisTickets } from './redis-tickets.ts'
import type { Tickets } from './tickets.ts'

/** Where jobs are kept. In a PostgreSQL database, BullMQ and this package create a schema each. */
export type QueueLocation = { readonly redisUrl: string } | { readonly databaseUrl: string }

/** A job as it is put into a queue. */
export interface QueuedJob {
  readonly name: string
  readonly data: unknown
  readonly opts: {
    readonly jobId: string
    readonly attempts: number
    readonly backoff: { readonly type: 'exponential'; readonly delay: number }
    readonly delay: number
  }
}

/** What is used of BullMQ's queue, on either backend. */
export interface JobQueue {
  addBulk(jobs: readonly QueuedJob[]): Promise<void>
  /** Brings a delayed job into the queue. @throws Error when it is not delayed. */
  promote(jobId: string): Promise<void>
  stateOf(jobId: string): Promise<JobState | 'unknown'>
  /** Jobs that have not ended. */
  countPending(): Promise<number>
  close(): Promise<void>
}

type JobProcessor = (job: Job, token?: string, signal?: AbortSignal) => Promise<unknown>
export type JobWorker = Pick<Worker, 'close' | 'pause' | 'cancelAllJobs' | 'waitUntilReady'> & {
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'completed', listener: (job: Job) => void): unknown
  on(event: 'failed', listener: (job: Job | undefined, error: Error) => void): unknown
}

/** One server that holds queues. */
export interface QueueBackend {
  readonly tickets: Tickets
  openQueue(name: string): JobQueue
  openWorker(name: string, process: JobProcessor, concurrency: number): JobWorker
  close(): Promise<void>
}

/** In braces, so that a Redis cluster keeps everything together. */
const PREFIX = '{freehold-jobs}'
const POSTGRES_CONNECTIONS = 4
const KEEP_COMPLETED = { age: 3_600, count: 1_000 }
const KEEP_FAILED = { age: 7 * 86_400, count: 100_000 }

export function openBackend(location: QueueLocation, onError: (error: Error) => void): QueueBackend {
  return 'redisUrl' in location
    ? openRedis(location.redisUrl, onError)
    : openPostgres(location.databaseUrl, onError)
}

function openRedis(url: string, onError: (error: Error) => void): QueueBackend {
  // Whoever puts a job waits for an answer: better a refusal now than one whenever Redis is back.
  const client = new Redis(url, { maxRetriesPerRequest: 1 })
  client.on('error', onError)
  return {
    tickets: redisTickets(client, PREFIX),
    openQueue: (name) => jobQueue(redisQueue(name, client), onError),
    openWorker: (name, process, concurrency) =>
      new Worker(name, process, {
        ...workerOptions(concurrency),
        prefix: PREFIX,
        connection: { url, maxRetriesPerRequest: null },
      }),
    async close() {
      client.disconnect()
    },
  }
}

function openPostgres(databaseUrl: string, onError: (error: Error) => void): QueueBackend {
  const address = parseDatabaseUrl(databaseUrl)
  const { host, port, database, user, password } = address
  const { connectionString: _, ...config } = clientConfig(address, 'freehold-jobs')
  const connection: PostgresPoolConfig = {
    ...config,
    ...{ host, port, database, user, password },
    max: POSTGRES_CONNECTIONS,
    migrate: true,
  }
  const tickets = postgresTickets(address)
  return {
    tickets,
    openQueue: (name) => jobQueue(postgresQueue(name, connection), onError),
    openWorker: (name, process, concurrency) =>
      new Worker(name, process, { ...workerOptions(concurrency), connection }, createPostgresBackend),
    close: () => tickets.close(),
  }
}

function workerOptions(concurrency: number): Omit<WorkerOptions, 'connection'> {
  return { concurrency, removeOnComplete: KEEP_COMPLETED, removeOnFail: KEEP_FAILED }
}

function redisQueue(name: string, connection: Redis) {
  return new Queue(name, { connection, prefix: PREFIX })
}

function postgresQueue(name: string, connection: PostgresPoolConfig) {
  return new Queue(name, { connection }, createPostgresBackend)
}

type AnyQueue = ReturnType<typeof redisQueue> | ReturnType<typeof postgresQueue>

function jobQueue(queue: AnyQueue, onError: (error: Error) => void): JobQueue {
  queue.on('error', onError)
  return {
    async addBulk(jobs) {
      await queue.addBulk([...jobs])
    },
    promote: (jobId) => queue.getBackend().promote(jobId),
    stateOf: (jobId) => queue.getJobState(jobId),
    countPending: () => queue.getJobCountByTypes('wait', 'active', 'delayed', 'prioritized'),
    close: () => queue.close(),
  }
}
