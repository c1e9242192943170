import { FreeholdError } from '@freehold/contract'
import { copyTextRow } from '@freehold/postgres'

/** A row: its values in the order of the columns, or by their names. */
export type AnyRow = readonly unknown[] | Readonly<Record<string, unknown>>

/** How far a load has come: what has been handed to the connection. */
export interface CopyProgress {
  readonly rows: number
  readonly bytes: number
}

const CHUNK_CHARACTERS = 65_536

/** Turns rows into what COPY reads, some 64 KB at a time. */
export class RowEncoder {
  readonly #columns: readonly string[]
  readonly #onProgress: ((progress: CopyProgress) => void) | undefined
  #text = ''
  #rows = 0
  #bytes = 0

  constructor(columns: readonly string[], onProgress?: (progress: CopyProgress) => void) {
    this.#columns = columns
    this.#onProgress = onProgress
  }

  get progress(): CopyProgress {
    return { rows: this.#rows, bytes: this.#bytes }
  }

  /** Two ways, because to wait between rows that are there already costs more than to encode them. */
  encode(rows: Iterable<AnyRow> | AsyncIterable<AnyRow>): Iterable<Buffer> | AsyncIterable<Buffer> {
    return Symbol.asyncIterator in rows ? this.#encodeAsync(rows) : this.#encode(rows)
  }

  *#encode(rows: Iterable<AnyRow>): Generator<Buffer, void> {
    for (const row of rows) {
      this.#add(row)
      if (this.#text.length >= CHUNK_CHARACTERS) yield this.#take()
    }
    if (this.#text !== '') yield this.#take()
  }

  async *#encodeAsync(rows: AsyncIterable<AnyRow>): AsyncGenerator<Buffer, void> {
    for await (const row of rows) {
      this.#add(row)
      if (this.#text.length >= CHUNK_CHARACTERS) yield this.#take()
    }
    if (this.#text !== '') yield this.#take()
  }

  #add(row: AnyRow): void {
    const values = isList(row) ? row : this.#columns.map((column) => row[column])
    if (values.length !== this.#columns.length) {
      throw new FreeholdError(
        'invalid_request',
        `Row ${this.#rows + 1} has ${values.length} values for ${this.#columns.length} columns.`,
      )
    }
    this.#text += copyTextRow(values)
    this.#rows++
  }

  #take(): Buffer {
    const chunk = Buffer.from(this.#text)
    this.#text = ''
    this.#bytes += chunk.length
    this.#onProgress?.(this.progress)
    return chunk
  }
}

function isList(row: AnyRow): row is readonly unknown[] {
  return Array.isArray(row)
}
