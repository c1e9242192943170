import { type CopyFormat, RowCounter } from '../throttle/row-counter.ts'

/** What a COPY in binary begins with, and ends with. */
const HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
const TRAILER = Buffer.from([0xff, 0xff])

/** A batch ends with a row after so many bytes, or after so long, whichever is first. */
export interface BatchLimits {
  readonly bytes: number
  readonly ms: number
}

/** Whole rows, with what a COPY that takes them wants around them. */
export interface RowBatch {
  readonly chunks: AsyncIterable<Buffer>
  /** Fulfilled when all of it has been read, with how many bytes came from the source. */
  readonly read: Promise<number>
}

/** Cuts what a COPY sends, in pieces that may end anywhere, into batches each of which another COPY can take. */
export class RowBatches {
  readonly #pieces: AsyncIterator<Buffer>
  readonly #format: CopyFormat
  readonly #limits: BatchLimits
  readonly #counter: RowCounter
  /** The beginning of a row whose batch has not begun. */
  #rest: Buffer = Buffer.alloc(0)
  /** A piece that nobody has looked into. */
  #ahead: Buffer | undefined
  #cuts = 0

  constructor(pieces: AsyncIterable<Buffer>, format: CopyFormat, limits: BatchLimits) {
    this.#pieces = pieces[Symbol.asyncIterator]()
    this.#format = format
    this.#limits = limits
    this.#counter = new RowCounter(format)
  }

  /** The next batch, once the former has been read. @returns undefined when all rows were in former ones. */
  async next(): Promise<RowBatch | undefined> {
    if (this.#rest.length === 0) this.#ahead ??= await this.#piece()
    if (this.#rest.length === 0 && this.#ahead === undefined) return undefined
    const { promise: read, resolve } = Promise.withResolvers<number>()
    return { chunks: this.#batch(resolve), read }
  }

  async *#batch(onRead: (bytes: number) => void): AsyncGenerator<Buffer> {
    const until = performance.now() + this.#limits.ms
    const isBinary = this.#format === 'binary'
    if (isBinary && this.#cuts > 0) yield HEADER
    let bytes = this.#rest.length
    if (bytes > 0) yield this.#rest
    this.#rest = Buffer.alloc(0)
    for (let piece = await this.#piece(); piece !== undefined; piece = await this.#piece()) {
      this.#counter.count(piece)
      const { rowsEnd } = this.#counter
      if (rowsEnd > 0 && (bytes + piece.length >= this.#limits.bytes || performance.now() >= until)) {
        this.#cuts++
        this.#rest = piece.subarray(rowsEnd)
        yield piece.subarray(0, rowsEnd)
        if (isBinary) yield TRAILER
        return onRead(bytes + rowsEnd)
      }
      bytes += piece.length
      yield piece
    }
    onRead(bytes)
  }

  async #piece(): Promise<Buffer | undefined> {
    const ahead = this.#ahead
    this.#ahead = undefined
    if (ahead !== undefined) return ahead
    const { value, done } = await this.#pieces.next()
    return done === true ? undefined : value
  }
}
