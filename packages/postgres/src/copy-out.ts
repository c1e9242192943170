import pg, { type ClientBase, type Connection, type Submittable } from 'pg'
import { MessageWriter } from './message-writer.ts'
import { ConnectionLostError } from './pipeline.ts'

/** What is read from the server in one piece; each piece ends at the end of a row. */
const CHUNK_BYTES = 65_536
/** So much waits here for a reader that is slower than the server. */
const MAX_WAITING_CHUNKS = 4

/**
 * Reads what a `COPY ... TO STDOUT` sends, no faster than it is consumed. It travels by the extended protocol, so that
 * the server takes one statement and refuses a text with several. It begins when it is first read from.
 *
 * Whoever stops before the end gets rid of the rest by having the connection closed: `COPY` cannot be left otherwise.
 *
 * @param signal does the same from outside; the reader then gets its reason.
 * @throws pg.DatabaseError when the server refused or broke off the statement; ConnectionLostError.
 */
export async function* copyOut(
  client: ClientBase,
  text: string,
  signal?: AbortSignal,
): AsyncGenerator<Buffer, void> {
  signal?.throwIfAborted()
  const copy = new CopyOut(text)
  const abort = () => copy.abort(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  client.query(copy)
  try {
    for (;;) {
      const chunk = await copy.next()
      if (!chunk) return
      yield chunk
    }
  } finally {
    signal?.removeEventListener('abort', abort)
    copy.abandon()
  }
}

class CopyOut implements Submittable {
  readonly #text: string
  readonly #chunks: Buffer[] = []
  #current = Buffer.allocUnsafe(CHUNK_BYTES)
  #length = 0
  #connection: Connection | undefined
  #paused = false
  #end: { readonly error: unknown } | 'done' | undefined
  #wake = () => {}

  constructor(text: string) {
    this.#text = text
  }

  /** @returns undefined at the end. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift()
      if (chunk) {
        this.#resume()
        return chunk
      }
      if (this.#end === 'done') return undefined
      if (this.#end) throw this.#end.error
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  abandon(): void {
    if (this.#end === undefined) this.#connection?.stream.destroy()
    this.#resume()
  }

  abort(reason: unknown): void {
    if (this.#end !== undefined) return
    this.abandon()
    this.#chunks.length = 0
    this.#finish({ error: reason })
  }

  submit(connection: Connection): void {
    this.#connection = connection
    const writer = new MessageWriter()
    writer.parse('', this.#text)
    writer.bind('', [])
    writer.execute()
    writer.sync()
    connection.stream.write(writer.take())
  }

  /** One row, or the header. It lies in a buffer of the parser, which is used again. */
  handleCopyData({ chunk }: { chunk: Buffer }): void {
    if (this.#length + chunk.length > this.#current.length) this.#flush(chunk.length)
    this.#length += chunk.copy(this.#current, this.#length)
  }

  #flush(needed: number): void {
    if (this.#length > 0) {
      this.#chunks.push(this.#current.subarray(0, this.#length))
      this.#wake()
    }
    this.#current = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, needed))
    this.#length = 0
    if (this.#chunks.length < MAX_WAITING_CHUNKS || this.#paused) return
    this.#paused = true
    this.#connection?.stream.pause()
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#connection?.stream.resume()
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#flush(0)
    this.#finish('done')
  }

  handleError(error: Error, connection: Connection): void {
    if (!(error instanceof pg.DatabaseError)) {
      this.#finish({ error: new ConnectionLostError('unknown', error) })
      return
    }
    const ready = () => {
      connection.removeListener('end', ended)
      this.#finish({ error })
    }
    const ended = () => {
      connection.removeListener('readyForQuery', ready)
      this.#finish({ error: new ConnectionLostError('unknown', error) })
    }
    connection.once('readyForQuery', ready)
    connection.once('end', ended)
  }

  #finish(end: { readonly error: unknown } | 'done'): void {
    this.#end ??= end
    this.#wake()
  }
}
