export type CopyFormat = 'binary' | 'text'

const BINARY_HEADER_BYTES = 19
const FIELD_COUNT_BYTES = 2
const FIELD_LENGTH_BYTES = 4
const NEWLINE = 0x0a

/** Counts the rows in what a COPY sends, in pieces that may end anywhere. */
export class RowCounter {
  readonly #format: CopyFormat
  /** Binary: bytes to pass over until the next number, what that number is, and how much of it is there. */
  #skip = BINARY_HEADER_BYTES
  #number = 0
  #missing = FIELD_COUNT_BYTES
  #fields = 0
  /** Binary: whether there has been a row. */
  #begun = false
  #rowsEnd = 0

  constructor(format: CopyFormat) {
    this.#format = format
  }

  /** @returns the rows that end, or for binary begin, in this piece. */
  count(chunk: Buffer): number {
    this.#rowsEnd = 0
    return this.#format === 'text' ? this.#countLines(chunk) : this.#countTuples(chunk)
  }

  /** How much of the last piece that was counted is up to the end of a row, the last that ends there; 0: none does. */
  get rowsEnd(): number {
    return this.#rowsEnd
  }

  #countLines(chunk: Buffer): number {
    let count = 0
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) {
      count++
      this.#rowsEnd = at + 1
    }
    return count
  }

  #countTuples(chunk: Buffer): number {
    let rows = 0
    for (let at = 0; at < chunk.length; ) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - at)
        this.#skip -= skipped
        at += skipped
        if (this.#isBetweenRows()) this.#rowsEnd = at
        continue
      }
      this.#number = (this.#number << 8) | (chunk[at] ?? 0)
      at++
      if (--this.#missing > 0) continue
      const number = this.#number
      this.#number = 0
      if (this.#fields > 0) {
        this.#skip = Math.max(0, number)
        this.#fields--
      } else {
        // The trailer is a row of -1 fields; unsigned it is 65535, more than a table can have.
        if (number === 0xffff) return rows
        rows++
        this.#begun = true
        this.#fields = number
      }
      this.#missing = this.#fields > 0 ? FIELD_LENGTH_BYTES : FIELD_COUNT_BYTES
      if (this.#isBetweenRows()) this.#rowsEnd = at
    }
    return rows
  }

  #isBetweenRows(): boolean {
    return this.#begun && this.#skip === 0 && this.#fields === 0
  }
}
