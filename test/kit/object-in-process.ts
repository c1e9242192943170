import { fork } from 'node:child_process'
import { once } from 'node:events'

/** The methods of an object, each answering in its own time. */
type Methods<T> = { readonly [M in keyof T]: (...parameters: never[]) => Promise<unknown> }

interface Request {
  readonly number: number
  readonly method: string
  readonly parameters: readonly unknown[]
}

interface Answer {
  readonly number: number
  readonly result?: unknown
  /** Message and stack of what was thrown instead. */
  readonly error?: string
}

interface PendingCall {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** The parent's end: calls go to the object, which lives in a process of its own. */
export class ObjectInProcess<T extends Methods<T>> {
  readonly #child
  readonly #exited
  readonly #pending = new Map<number, PendingCall>()
  #calls = 0

  /**
   * @param module serves the object with {@link serveObject}; its process ends with {@link end} or with this one.
   * @param name of the process, for errors.
   */
  constructor(module: URL, name: string) {
    this.#child = fork(module, {
      execArgv: ['--conditions=@freehold/source'],
      // Ctrl-C reaches only this process, which then ends the other in its own time.
      detached: true,
      serialization: 'advanced',
    })
    this.#exited = once(this.#child, 'exit')
    this.#child.on('message', ({ number, result, error }: Answer) => {
      const pending = this.#pending.get(number)
      this.#pending.delete(number)
      if (error === undefined) pending?.resolve(result)
      else pending?.reject(new Error(`in ${name}: ${error}`))
    })
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#pending.values()) reject(new Error(`${name} ended: ${signal ?? code}`))
      this.#pending.clear()
    })
  }

  /** @returns a method of the object, to be called from here. */
  method<M extends keyof T & string>(method: M) {
    return (...parameters: Parameters<T[M]>): Promise<Awaited<ReturnType<T[M]>>> => {
      const request: Request = { number: ++this.#calls, method, parameters }
      return new Promise((resolve, reject) => {
        this.#pending.set(request.number, {
          resolve: (result) => resolve(result as Awaited<ReturnType<T[M]>>),
          reject,
        })
        this.#child.send(request, (error) => {
          if (error !== null) reject(error)
        })
      })
    }
  }

  /** Ends the process; whatever is still under way there is given up. */
  async end(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    await this.#exited
  }
}

/** The other end: answers the parent's calls until it ends, or is gone. */
export function serveObject<T extends Methods<T>>(object: T): void {
  process.on('message', async ({ number, method, parameters }: Request) => {
    const answer: Answer = await answerTo(object, method, parameters).then(
      (result) => ({ number, result }),
      (error: unknown) => ({
        number,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    )
    process.send?.(answer)
  })
  process.on('disconnect', () => process.exit(0))
}

async function answerTo(object: object, name: string, parameters: readonly unknown[]): Promise<unknown> {
  const method: unknown = Reflect.get(object, name)
  if (typeof method !== 'function') throw new Error(`there is no method ${name}`)
  return Reflect.apply(method, object, parameters)
}
