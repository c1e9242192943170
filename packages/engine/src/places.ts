/** Somebody's right to work in this process. */
export interface Place {
  /** Lets somebody else work. Leaving twice is leaving once. */
  leave(): void
  /** Waits until there is a place again, before those who have not begun. */
  takeAgain(): Promise<void>
}

/** So many operations work in one process at the same time. Those that wait for people leave their place to others. */
export class Places {
  #free: number
  readonly #returning: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  get free(): number {
    return this.#free
  }

  /** @returns undefined when there is none. */
  take(): Place | undefined {
    if (this.#free === 0) return undefined
    this.#free--
    let taken = true
    return {
      leave: () => {
        if (taken) this.#leave()
        taken = false
      },
      takeAgain: async () => {
        if (this.#free > 0) this.#free--
        else await new Promise<void>((resolve) => this.#returning.push(resolve))
        taken = true
      },
    }
  }

  #leave(): void {
    const next = this.#returning.shift()
    if (next === undefined) this.#free++
    else next()
  }
}
