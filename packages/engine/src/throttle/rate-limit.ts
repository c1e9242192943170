/** So many rows a second on average, whoever passes them. Time is the caller's, in ms. */
export class RateLimit {
  readonly #msPerRow: number
  #free = 0

  constructor(rowsPerSecond: number) {
    this.#msPerRow = 1_000 / rowsPerSecond
  }

  /** Rows have passed. @returns how long to wait before any others may. */
  delay(rows: number, now: number): number {
    this.#free = Math.max(this.#free, now) + rows * this.#msPerRow
    return this.#free - now
  }
}
