import { setTimeout as sleep } from 'node:timers/promises'
import { type Job, WaitingError } from 'bullmq'
import type { JobRun } from './job-run.ts'
import type { JobWorker, QueueBackend } from './queue-backend.ts'
import type { RegionQueues } from './region-queues.ts'

export interface QueueWorkerSettings {
  readonly backend: QueueBackend
  readonly queues: RegionQueues
  readonly queue: string
  readonly concurrency: number
  readonly run: Pick<JobRun<unknown>, 'run' | 'line' | 'lineOf' | 'isAbandoned'>
  readonly onError: ((error: Error) => void) | undefined
}

const NEVER = new AbortController().signal
const SWEPT_AT_ONCE = 500
/** How long jobs have to notice that they are told to stop. */
const STOPPING_MS = 500
/** How long BullMQ may take to close. */
const CLOSING_MS = 5_000

/** Takes the jobs of one queue, and passes the places of those that have ended on. */
export class QueueWorker {
  readonly queue: string
  readonly #settings: QueueWorkerSettings
  readonly #worker: JobWorker
  #closing = false
  /** Jobs and what follows them. */
  readonly #underWay = new Set<Promise<unknown>>()

  constructor(settings: QueueWorkerSettings) {
    this.#settings = settings
    this.queue = settings.queue
    const { backend, queue, concurrency } = settings
    this.#worker = backend.openWorker(
      queue,
      // BullMQ gives a signal to those that ask for three things.
      (job, token, signal) => this.#track(this.#process(job, token ?? '', signal ?? NEVER)),
      concurrency,
    )
    this.#worker.on('error', (error) => settings.onError?.(error))
    this.#worker.on('completed', (job) => void this.#track(this.#finish(job)))
    this.#worker.on('failed', (job, error) => {
      settings.onError?.(error)
      if (job) void this.#track(this.#finish(job))
    })
  }

  async ready(): Promise<void> {
    await this.#worker.waitUntilReady()
  }

  /** Looks after tickets that nobody has touched for long: their worker may have crashed. */
  async sweep(forgottenMs: number): Promise<void> {
    const { backend, queues, queue, run } = this.#settings
    for (const { tenantId, jobId } of await backend.tickets.forgotten(queue, forgottenMs, SWEPT_AT_ONCE)) {
      const state = await queues.queue(queue).stateOf(jobId)
      // It has a place, and was not let in; or its attempt failed, and its place was not given back.
      if (state === 'delayed') await queues.open(queue, [jobId])
      else if (ENDED.has(state)) await queues.finish(await run.line(tenantId), jobId)
    }
  }

  /** Whether this is the queue of a tenant that is elsewhere now, and nothing is left in it. */
  async isAbandoned(): Promise<boolean> {
    const { queues, queue, run } = this.#settings
    return (await run.isAbandoned()) && (await queues.queue(queue).countPending()) === 0
  }

  async close(deadlineMs: number): Promise<void> {
    this.#closing = true
    await this.#worker.pause(true)
    const ended = await this.#settled(deadlineMs)
    if (!ended) {
      this.#worker.cancelAllJobs('The worker is being closed.')
      await this.#settled(STOPPING_MS)
    }
    // BullMQ still writes down how jobs ended, unless one goes on regardless; that may not take for ever either.
    const closing = this.#worker.close(this.#underWay.size > 0)
    await Promise.race([closing, sleep(CLOSING_MS, undefined, { ref: false })])
    await this.#settled(STOPPING_MS)
  }

  /** @returns whether all that was under way has ended in time. */
  async #settled(ms: number): Promise<boolean> {
    const { promise: tooLate, resolve } = Promise.withResolvers<boolean>()
    const timer = setTimeout(resolve, ms, true)
    let expired = false
    while (this.#underWay.size > 0 && !expired) {
      expired = await Promise.race([Promise.allSettled(this.#underWay).then(() => false), tooLate])
    }
    clearTimeout(timer)
    return !expired
  }

  /** What a wait that had begun before brings to a worker that is being closed goes back, and costs no attempt. */
  async #process(job: Job, token: string, signal: AbortSignal): Promise<unknown> {
    if (!this.#closing) return this.#settings.run.run(job, token, signal)
    await job.moveToWait(token)
    throw new WaitingError()
  }

  async #finish(job: Job): Promise<void> {
    const { queues, run, onError } = this.#settings
    try {
      const line = await run.lineOf(job)
      if (line) await queues.finish(line, String(job.id))
    } catch (error) {
      // The sweep makes it good.
      if (error instanceof Error) onError?.(error)
    }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work)
    const done = () => void this.#underWay.delete(work)
    work.then(done, done)
    return work
  }
}

const ENDED: ReadonlySet<string> = new Set(['completed', 'failed', 'unknown'])
