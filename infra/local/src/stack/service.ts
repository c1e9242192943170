import { type ManagedProcess, type ProcessExit, type ProcessOptions, startProcess } from '../child-process.ts'

/** Told of a process that has ended although nobody has asked for it here. */
export type OnCrash = (service: Service, exit: ProcessExit) => void

/** A process of the stack that can be stopped or killed and started again. What is asked is done in order. */
export class Service {
  readonly #options: ProcessOptions
  readonly #onCrash: OnCrash
  #process: ManagedProcess
  /** Processes that are meant to end. */
  readonly #dismissed = new WeakSet<ManagedProcess>()
  #last: Promise<unknown> = Promise.resolve()

  private constructor(options: ProcessOptions, process: ManagedProcess, onCrash: OnCrash) {
    this.#options = options
    this.#process = process
    this.#onCrash = onCrash
    this.#watch(process)
  }

  /** @throws FreeholdError `stack_start_failed`, as {@link startProcess}. */
  static async start(options: ProcessOptions, onCrash: OnCrash): Promise<Service> {
    return new Service(options, await startProcess(options), onCrash)
  }

  get name(): string {
    return this.#options.name
  }

  /** Process id of the running process, or of the last one. */
  get pid(): number {
    return this.#process.pid
  }

  /** Asks it to stop and resolves when it has exited; it is killed after 10 s. */
  stop(): Promise<ProcessExit> {
    return this.#next(() => this.#dismiss().stop())
  }

  /** Kills it by SIGKILL, as a crash would, and resolves when it has exited. */
  kill(): Promise<ProcessExit> {
    return this.#next(() => this.#dismiss().kill())
  }

  /** Stops it unless it has ended already, starts it again and resolves when it is ready. */
  restart(): Promise<void> {
    return this.#next(async () => {
      await this.#dismiss().stop()
      this.#process = await startProcess(this.#options)
      this.#watch(this.#process)
    })
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined)
    return result
  }

  #dismiss(): ManagedProcess {
    this.#dismissed.add(this.#process)
    return this.#process
  }

  #watch(process: ManagedProcess): void {
    void process.exited.then((exit) => {
      if (!this.#dismissed.has(process)) this.#onCrash(this, exit)
    })
  }
}
