import { type ChildProcess, fork } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type Command, type Report, reportSchema } from './worker-messages.ts'

const ENTRY = new URL('./moving-worker.ts', import.meta.url)
const READY_TIMEOUT_MS = 180_000
const LOG_LINES = 30

/** A worker in a process of its own, to be stopped at a barrier, killed there, and started again. */
export class WorkerProcess {
  readonly #environment: Readonly<Record<string, string>>
  readonly #log: string[] = []
  #child: ChildProcess | undefined
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

  get runs(): boolean {
    return this.#child !== undefined
  }

  /** The end of what it has logged. */
  get log(): readonly string[] {
    return this.#log
  }

  /** Starts the process unless it runs. */
  async start(): Promise<void> {
    if (this.#child !== undefined) return
    const child = fork(ENTRY, {
      execArgv: ['--conditions=@freehold/source'],
      env: { ...process.env, ...this.#environment },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // In a session of its own: Ctrl-C is for us, who then clean up with it still there.
      detached: true,
    })
    this.#child = child
    for (const output of [child.stdout, child.stderr]) {
      if (output !== null) createInterface({ input: output }).on('line', (line) => this.#keep(line))
    }
    child.once('exit', (code, signal) => {
      if (this.#child === child) this.#child = undefined
      if (this.#dismissed.has(child)) return
      this.#deaths++
      this.#keep(`the worker ended by itself (${code ?? signal})`)
    })
    await this.#heard(child, 'ready', READY_TIMEOUT_MS)
  }

  /**
   * Has the worker stand still the next time it comes by the barrier, and at no other.
   *
   * @returns once the worker knows: a wait until it stands there.
   */
  async stopAt(barrier: string): Promise<(timeoutMs: number) => Promise<boolean>> {
    const child = this.#running()
    const stands = Promise.withResolvers<void>()
    const listen = (message: unknown) => {
      const report = reportSchema.parse(message)
      if (report.kind === 'stands' && report.barrier === barrier) stands.resolve()
    }
    child.on('message', listen)
    await this.#arm(barrier)
    return async (timeoutMs) => {
      const timeout = Promise.withResolvers<void>()
      const timer = setTimeout(timeout.resolve, timeoutMs)
      const reached = await Promise.race([stands.promise.then(() => true), timeout.promise.then(() => false)])
      clearTimeout(timer)
      child.off('message', listen)
      return reached
    }
  }

  /** Has the worker stand still nowhere, and go on if it does. */
  async stopNowhere(): Promise<void> {
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
    this.#dismissed.add(child)
    this.#child = undefined
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
