import type { MoveProgress } from '@freehold/contract'

const SAVE_INTERVAL_MS = 200

/**
 * The progress of a move as people see it. Changes are gathered and written at most five times a second; nothing is
 * decided by them, so a write that fails is only not shown.
 */
export class ProgressReport {
  #progress: MoveProgress
  readonly #save: (progress: MoveProgress) => Promise<void>
  #timer: NodeJS.Timeout | undefined
  #saving: Promise<void> = Promise.resolve()

  constructor(progress: MoveProgress, save: (progress: MoveProgress) => Promise<void>) {
    this.#progress = progress
    this.#save = save
  }

  get current(): MoveProgress {
    return this.#progress
  }

  update(change: Partial<MoveProgress>): void {
    this.#progress = { ...this.#progress, ...change }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#saving = this.#saving.then(() => this.#save(this.#progress)).catch(() => undefined)
    }, SAVE_INTERVAL_MS)
  }

  /** Makes a change and writes everything that was gathered. */
  async save(change: Partial<MoveProgress>): Promise<void> {
    await this.settle()
    this.#progress = { ...this.#progress, ...change }
    await this.#save(this.#progress)
  }

  updateSeconds(change: Partial<MoveProgress['seconds']>): void {
    this.update({ seconds: { ...this.#progress.seconds, ...change } })
  }

  /** Notes the whole time when the move has ended. */
  finish(createdAt: string): void {
    const total = (Date.now() - Date.parse(createdAt)) / 1000
    this.#progress = { ...this.#progress, seconds: { ...this.#progress.seconds, total } }
  }

  /** Waits until nothing is being written; what was gathered is written with the next step instead. */
  async settle(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#saving
  }
}
