import { type ChildProcess, fork } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type Command, type Report, reportSchema } from './worker-messages.ts'

const ENTRY = new URL('./moving-worker.ts', import.meta.url)
const READY_TIMEOUT_MS = 180_000
const LOG_LINES = 30

/** A barrier at which the worker is to stand still, and whether it does. */
interface Watch {
  readonly barrier: string
  readonly stands: PromiseWithResolvers<void>
}

/**
 * A worker in a process of its own, to be stopped at a barrier, killed there, and started again. The next one is always there
 * already, with all that it has to load: what takes the processor longest would come after every kill otherwise.
 */
export class WorkerProcess {
  readonly #environment: Readonly<Record<string, string>>
  readonly #log: string[] = []
  #child: ChildProcess | undefined
  #next: ChildProcess | undefined
  #watch: Watch | undefined
  #dismissed = new WeakSet<ChildProcess>()
  #deaths = 0

  private constructor(environment: Readonly<Record<string, string>>) {
    this.#environment = environment
  }

  static async start(environment: Readonly<Record<string, string>>): Promise<WorkerProcess> {
    const worker = new WorkerProcess(environment)
    await worker.start()
    return worker
  }

  /** How often the process has ended although nobody has killed it: never, whatever happens around it. */
  get deaths(): number {
    return this.#deaths
  }

  /** The end of what it has logged. */
  get log(): readonly string[] {
    return this.#log
  }

  /** Starts the process unless it runs. */
  async start(): Promise<void> {
    if (this.#child !== undefined) return
    const child = this.#next ?? this.#load()
    this.#child = child
    const ready = this.#heard(child, 'ready', READY_TIMEOUT_MS)
    this.#send({ kind: 'begin', barrier: this.#watch?.barrier })
    await ready
    this.#next = this.#load()
  }

  /**
   * Has the worker stand still the next time it comes by the barrier, and at no other; from its start on, if it does not run.
   *
   * @returns once the worker knows: a wait until it stands there.
   */
  async stopAt(barrier: string): Promise<(timeoutMs: number) => Promise<boolean>> {
    const watch: Watch = { barrier, stands: Promise.withResolvers() }
    this.#watch = watch
    if (this.#child !== undefined) await this.#arm(barrier)
    return async (timeoutMs) => {
      const timeout = Promise.withResolvers<void>()
      const timer = setTimeout(timeout.resolve, timeoutMs)
      const reached = await Promise.race([
        watch.stands.promise.then(() => true),
        timeout.promise.then(() => false),
      ])
      clearTimeout(timer)
      return reached
    }
  }

  /** Has the worker stand still nowhere, and go on if it does. */
  async stopNowhere(): Promise<void> {
    this.#watch = undefined
    await this.#arm(undefined)
    this.goOn()
  }

  /** Lets the worker go on from where it stands, if it is there to do so. */
  goOn(): void {
    if (this.#child !== undefined) this.#send({ kind: 'go_on' })
  }

  /** Sets what the worker takes for the time, from what it takes for it now. */
  shiftClock(ms: number): void {
    this.#send({ kind: 'shift_clock', ms })
  }

  /** Stops the process where it is, with all its connections open: no timer of it goes off. */
  freeze(): void {
    this.#running().kill('SIGSTOP')
  }

  /** Lets a process go on that was stopped. */
  thaw(): void {
    this.#running().kill('SIGCONT')
  }

  /** Ends the process as a crash does. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#child = undefined
    this.#watch = undefined
    await this.#end(child)
  }

  /** Ends the process, and the one that waits to come after it. */
  async close(): Promise<void> {
    await this.kill()
    if (this.#next !== undefined) await this.#end(this.#next)
    this.#next = undefined
  }

  /** A process that has loaded what a worker is made of, or is about to, and does nothing until it is told to begin. */
  #load(): ChildProcess {
    const child = fork(ENTRY, {
      execArgv: ['--conditions=@freehold/source'],
      env: { ...process.env, ...this.#environment },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // In a session of its own: Ctrl-C is for us, who then clean up with it still there.
      detached: true,
    })
    for (const output of [child.stdout, child.stderr]) {
      if (output !== null) createInterface({ input: output }).on('line', (line) => this.#keep(line))
    }
    child.on('message', (message) => {
      const report = reportSchema.parse(message)
      const watch = this.#watch
      if (report.kind === 'stands' && report.barrier === watch?.barrier) watch.stands.resolve()
    })
    child.once('exit', (code, signal) => {
      if (this.#child === child) this.#child = undefined
      if (this.#next === child) this.#next = undefined
      if (this.#dismissed.has(child)) return
      this.#deaths++
      this.#keep(`the worker ended by itself (${code ?? signal})`)
    })
    return child
  }

  async #end(child: ChildProcess): Promise<void> {
    this.#dismissed.add(child)
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await exited
  }

  async #arm(barrier: string | undefined): Promise<void> {
    const armed = this.#heard(this.#running(), 'armed', READY_TIMEOUT_MS)
    this.#send({ kind: 'stop_at', barrier })
    await armed
  }

  #send(command: Command): void {
    this.#running().send(command)
  }

  #running(): ChildProcess {
    if (this.#child === undefined) throw new Error(`the worker is gone:\n${this.#log.join('\n')}`)
    return this.#child
  }

  async #heard(child: ChildProcess, kind: Report['kind'], timeoutMs: number): Promise<void> {
    const heard = Promise.withResolvers<void>()
    const listen = (message: unknown) => {
      if (reportSchema.parse(message).kind === kind) heard.resolve()
    }
    const exited = () => heard.reject(new Error(`the worker is gone:\n${this.#log.join('\n')}`))
    const timer = setTimeout(() => heard.reject(new Error(`the worker is not ${kind}`)), timeoutMs)
    child.on('message', listen)
    child.once('exit', exited)
    try {
      await heard.promise
    } finally {
      clearTimeout(timer)
      child.off('message', listen)
      child.off('exit', exited)
    }
  }

  #keep(line: string): void {
    this.#log.push(line)
    if (this.#log.length > LOG_LINES) this.#log.shift()
  }
}
