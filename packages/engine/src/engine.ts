import { setTimeout as sleep } from 'node:timers/promises'
import type { Catalog, Lease } from '@freehold/catalog'
import { FreeholdError, isFreeholdError, type OperationId } from '@freehold/contract'
import { EngineStopping } from './engine-stopping.ts'
import { advanceEvacuations } from './evacuate.ts'
import { classifyFailure, describeFailure } from './failure.ts'
import { removeLeftovers } from './janitor.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import type { Logger } from './logger.ts'
import { runMove } from './move/run-move.ts'
import type { MoveSettings } from './move/settings.ts'
import { isAbortable, isCopied, MAX_ATTEMPTS, transition } from './move/transitions.ts'
import { type Place, Places } from './places.ts'

export interface EngineOptions {
  readonly catalog: Catalog
  readonly settings: MoveSettings
  readonly logger: Logger
  /** Names this process in the leases it holds. */
  readonly owner: string
  /** How long an operation stays with a process that has died, ms. */
  readonly leaseMs: number
  /** How often the catalog is asked for what is due, ms: the bound on what a lost nudge costs. */
  readonly pollMs: number
  /** Operations that run at the same time in this process; those that wait for people do not count. */
  readonly concurrency: number
  /** Called at every durable write of a move; a test stops the process there. */
  readonly barrier?: (name: string) => Promise<void>
}

const BACK_OFF_MS = 250
const MAX_BACK_OFF_MS = 10_000
const JANITOR_INTERVAL_MS = 15_000

/**
 * Runs durable operations. What is to be done stands in the catalog; a nudge only makes it happen sooner. Any number
 * of engines may run: each operation is held by one lease, and what a former holder still does is refused.
 */
export class Engine {
  readonly #options: EngineOptions
  readonly #running = new Map<OperationId, Promise<void>>()
  readonly #keepers = new Map<OperationId, LeaseKeeper>()
  readonly #places: Places
  readonly #stopping = new AbortController()
  #loops: Promise<void>[] = []

  constructor(options: EngineOptions) {
    this.#options = options
    this.#places = new Places(options.concurrency)
  }

  /** Begins to look for work; {@link stop} ends it. */
  start(): void {
    this.#loops = [
      this.#every(this.#options.pollMs, () => this.#runDue()),
      this.#every(this.#options.pollMs, () => this.#evacuate()),
      this.#every(JANITOR_INTERVAL_MS, () => removeLeftovers(this.#options.catalog, this.#options.logger)),
    ]
  }

  /**
   * Runs an operation until it has ended, is given back or belongs to another engine; one that runs here hears at once
   * what is asked of it. Never rejects: what went wrong is in the operation's timeline and in the log.
   */
  nudge(id: OperationId): Promise<void> {
    const running = this.#running.get(id)
    if (running !== undefined) {
      void this.#keepers
        .get(id)
        ?.renew()
        .catch(() => undefined)
      return running
    }
    if (this.#stopping.signal.aborted) return Promise.resolve()
    const place = this.#places.take()
    if (place === undefined) return Promise.resolve()
    const run = this.#claimAndRun(id, place)
      .catch((error) =>
        this.#options.logger.warn({ operation: id, failure: describeFailure(error) }, 'operation not run'),
      )
      .finally(() => {
        this.#running.delete(id)
        place.leave()
      })
    this.#running.set(id, run)
    return run
  }

  /** Gives back what runs, at its next safe point, and waits for that. */
  async stop(): Promise<void> {
    this.#stopping.abort(new EngineStopping('the engine is stopping'))
    await Promise.all([...this.#loops, ...this.#running.values()])
  }

  async #runDue(): Promise<void> {
    const { free } = this.#places
    if (free === 0) return
    for (const id of await this.#options.catalog.operations.due(free)) void this.nudge(id)
  }

  async #evacuate(): Promise<void> {
    const { catalog, settings } = this.#options
    for (const id of await advanceEvacuations(catalog, settings.entrySecret)) void this.nudge(id)
  }

  async #every(intervalMs: number, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await work().catch((error) =>
        this.#options.logger.warn({ failure: describeFailure(error) }, 'will be tried again'),
      )
      await sleep(intervalMs, undefined, { signal }).catch(() => undefined)
    }
  }

  async #claimAndRun(id: OperationId, place: Place): Promise<void> {
    const { catalog, settings, logger, owner, leaseMs } = this.#options
    const operation = await catalog.operations.claim(id, owner, leaseMs)
    if (operation === null) return
    const lease: Lease = { id, token: operation.fencingToken }
    const { cancelRequested, pausedAt, maySwitch } = operation
    const directions = { cancelRequested, paused: pausedAt !== null, maySwitch }
    const keeper = new LeaseKeeper(catalog, lease, leaseMs, directions)
    this.#keepers.set(id, keeper)
    // A move in its rollback window is taken up again and again.
    const isNews = operation.phase !== 'soak'
    if (isNews)
      logger.info({ operation: id, phase: operation.phase, token: lease.token }, 'operation taken up')
    try {
      const restMs = await runMove({
        operation,
        lease,
        catalog,
        settings,
        signal: AbortSignal.any([keeper.signal, this.#stopping.signal]),
        orders: keeper,
        place,
        barrier: this.#options.barrier ?? noBarrier,
      })
      if (restMs === undefined) logger.info({ operation: id }, 'operation ended')
      else await catalog.operations.rest(lease, restMs)
    } catch (error) {
      await this.#giveBack(lease, error)
    } finally {
      keeper.end()
      this.#keepers.delete(id)
    }
  }

  async #giveBack(lease: Lease, error: unknown): Promise<void> {
    const { catalog, settings, logger } = this.#options
    const failure = describeFailure(error)
    logger.warn({ operation: lease.id, failure }, 'operation interrupted')
    if (isFreeholdError(error, 'lease_lost')) return
    if (error instanceof EngineStopping) return catalog.operations.release(lease, 0)

    const { phase, attempts, lastFailure, failingMs, state } = await catalog.operations.get(lease.id)
    const reason = classifyFailure(error)
    const alike = lastFailure === null || lastFailure.passing === reason.passing ? attempts + 1 : 1
    const isPatient = isCopied(phase) && reason.passing
    const isExhausted = failingMs >= settings.patienceMs || (alike >= MAX_ATTEMPTS && !isPatient)
    if (isExhausted && isAbortable(phase)) {
      const tried = isPatient ? `${Math.round(failingMs / 1000)} s` : `${alike} attempts`
      const exhausted = new FreeholdError(
        'operation_retries_exhausted',
        `Given up after ${tried}. ${failure}`,
      )
      await catalog.operations.advance({
        ...lease,
        fromPhase: phase,
        toPhase: transition(phase, 'given_up'),
        state: Object(state),
        message: `Given up: ${exhausted.message}`,
        error: exhausted.toProblem(),
      })
      return catalog.operations.release(lease, 0)
    }
    // A server may be away for days; that it still is need not be said every time.
    if (attempts < MAX_ATTEMPTS) {
      await catalog.operations.addEvent(lease, `Interrupted, to be continued. ${failure}`)
    }
    const wait = Math.min(BACK_OFF_MS * 2 ** attempts, MAX_BACK_OFF_MS)
    await catalog.operations.release(lease, Math.round(wait * (0.5 + Math.random())), reason)
  }
}

async function noBarrier(): Promise<void> {}
