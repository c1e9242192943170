import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { Load, LoadOptions, LoadProgress, LoadReport, Pause } from './load.ts'
import type { LoadAnswer, LoadCall, LoadRequest } from './load-messages.ts'
import type { ProofReport } from './proof/proof-report.ts'

/** Starts virtual clients in a process of their own, which ends with {@link Load.close} or with this process. */
export async function spawnLoad(options: LoadOptions): Promise<Load> {
  const calls = new LoadProcess()
  await calls.call({ method: 'start', parameters: [options] })
  return {
    progress: () => calls.call<LoadProgress>({ method: 'progress', parameters: [] }),
    pause: (...parameters) => calls.call<Pause>({ method: 'pause', parameters }),
    stop: () => calls.call<LoadReport>({ method: 'stop', parameters: [] }),
    prove: (...parameters) => calls.call<ProofReport>({ method: 'prove', parameters }),
    async close() {
      await calls.call({ method: 'close', parameters: [] }).finally(() => calls.end())
    },
  }
}

interface PendingCall {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** The parent's end of the channel to a load process. */
class LoadProcess {
  readonly #child = fork(new URL('./load-process.ts', import.meta.url), {
    execArgv: ['--conditions=@freehold/source'],
    // Ctrl-C reaches only this process, which then ends the load in its own time.
    detached: true,
    serialization: 'advanced',
  })
  readonly #pending = new Map<number, PendingCall>()
  #calls = 0

  constructor() {
    this.#child.on('message', ({ number, result, error }: LoadAnswer) => {
      const pending = this.#pending.get(number)
      this.#pending.delete(number)
      if (error === undefined) pending?.resolve(result)
      else pending?.reject(new Error(`in the load process: ${error}`))
    })
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#pending.values())
        reject(new Error(`the load process ended: ${signal ?? code}`))
      this.#pending.clear()
    })
  }

  call<R>(call: LoadCall): Promise<R> {
    const request: LoadRequest = { number: ++this.#calls, call }
    return new Promise<R>((resolve, reject) => {
      this.#pending.set(request.number, { resolve: (result) => resolve(result as R), reject })
      this.#child.send(request, (error) => {
        if (error !== null) reject(error)
      })
    })
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }
}
