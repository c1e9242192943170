/** Work that begins when other work has ended. */
export interface Task<Stream> {
  readonly after: readonly Task<Stream>[]
  /** Two tasks that name the same thing here never run at the same time. */
  readonly alone: readonly string[]
  readonly run: (stream: Stream) => Promise<void>
}

/**
 * Hands tasks to streams: each takes the first that may begin, as long as there are any. The order of the tasks is their
 * preference.
 */
export class TaskGraph<Stream> {
  readonly #waiting: Task<Stream>[]
  readonly #running = new Set<Task<Stream>>()
  readonly #ended = new Set<Task<Stream>>()
  #change = Promise.withResolvers<void>()

  constructor(tasks: readonly Task<Stream>[]) {
    this.#waiting = [...tasks]
  }

  /**
   * Works on the tasks with a stream, until none is left to be begun.
   *
   * @param signal of whoever wants it to stop, for example because another stream has failed.
   * @throws the signal's reason, or what a task throws.
   */
  async work(stream: Stream, signal: AbortSignal): Promise<void> {
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    while (this.#waiting.length > 0) {
      signal.throwIfAborted()
      const task = this.#take()
      if (task === undefined) await Promise.race([this.#change.promise, aborted])
      else await this.#run(task, stream)
    }
  }

  #take(): Task<Stream> | undefined {
    const index = this.#waiting.findIndex((task) => this.#mayBegin(task))
    if (index >= 0) return this.#waiting.splice(index, 1)[0]
    if (this.#running.size === 0) throw new Error('the tasks that are left wait for each other')
    return undefined
  }

  #mayBegin(task: Task<Stream>): boolean {
    const taken = new Set([...this.#running].flatMap((running) => running.alone))
    return (
      task.after.every((earlier) => this.#ended.has(earlier)) && !task.alone.some((name) => taken.has(name))
    )
  }

  async #run(task: Task<Stream>, stream: Stream): Promise<void> {
    this.#running.add(task)
    await task.run(stream)
    this.#running.delete(task)
    this.#ended.add(task)
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }
}
