/** Says of each case whether it is as it must be, and how one that is not can be repeated. */
export class Tally {
  readonly #say: (line: string) => void
  readonly #started = performance.now()
  #cases = 0
  #wrong = 0

  constructor(say: (line: string) => void) {
    this.#say = say
  }

  /**
   * @param what names the case.
   * @param problems what is wrong; nothing is when there are none.
   * @param repeat the command that runs this case alone.
   */
  add(what: string, problems: readonly string[], repeat: string): void {
    this.#cases++
    this.#say(`${problems.length === 0 ? 'ok   ' : 'WRONG'}  ${what}`)
    if (problems.length === 0) return
    this.#wrong++
    for (const problem of problems) this.#say(`         ${problem}`)
    this.#say(`         again: ${repeat}`)
  }

  /** @returns whether there were cases, and all were as they must be. */
  end(more = ''): boolean {
    const seconds = Math.round((performance.now() - this.#started) / 1_000)
    this.#say(`${this.#cases - this.#wrong} of ${this.#cases} as they must be${more}, in ${seconds} s`)
    return this.#wrong === 0 && this.#cases > 0
  }
}
