/** Servers of a run's own. */
export interface Ground {
  remove(): Promise<void>
}

/** Cases that do not depend on each other, and what they run on. */
export interface Campaign<G extends Ground, Case> {
  readonly cases: readonly Case[]
  /** How many run at a time, each on a ground of its own. */
  readonly jobs: number
  prepare(): Promise<G>
  /** @returns whether all was as it must be. */
  run(ground: G, which: Case): Promise<boolean>
  readonly signal: AbortSignal
}

/** The grounds of a run, those that are still being prepared included: whoever ends early waits for them to be gone. */
export class Grounds {
  readonly #open = new Set<Promise<Ground>>()

  async open<G extends Ground>(prepare: () => Promise<G>): Promise<[G, remove: () => Promise<void>]> {
    const preparing = prepare()
    this.#open.add(preparing)
    const ground = await preparing
    return [ground, () => this.#close(preparing)]
  }

  async removeAll(): Promise<void> {
    await Promise.all([...this.#open].map((preparing) => this.#close(preparing)))
  }

  async #close(preparing: Promise<Ground>): Promise<void> {
    if (!this.#open.delete(preparing)) return
    const ground = await preparing.catch(() => undefined)
    await ground?.remove()
  }
}

/** Runs every case. One that went wrong has its ground replaced: what it left must not be taken for the next one's. */
export async function runCases<G extends Ground, Case>(
  grounds: Grounds,
  { cases, jobs, prepare, run, signal }: Campaign<G, Case>,
): Promise<void> {
  const waiting = [...cases]
  const work = async () => {
    let opened: [G, remove: () => Promise<void>] | undefined
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      signal.throwIfAborted()
      opened ??= await grounds.open(prepare)
      const [ground, remove] = opened
      if (await run(ground, next)) continue
      await remove()
      opened = undefined
    }
  }
  await Promise.all(Array.from({ length: Math.min(jobs, cases.length) }, work))
}
