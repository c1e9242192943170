import { setImmediate as nextTurn } from 'node:timers/promises'
import pg, { type ClientBase, type Connection, type Submittable } from 'pg'
import { ConnectionLostError } from './pipeline.ts'

const COPY_DATA = 0x64
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, 4])
const HEADER_BYTES = 5
/** A server that takes everything at once would never let the event loop see its complaint, or anything else. */
const BYTES_PER_TURN = 262_144

/**
 * Sends the data of a `COPY ... FROM STDIN`, no faster than the server takes them. The promise settles when the
 * connection is ready for the next query, or gone; the source is closed then, however it ended.
 *
 * @param text of our own making: it travels by the simple protocol, in which several statements could hide.
 * @param chunks what to send; where one ends and the next begins means nothing.
 * @param signal ends it early: the server undoes the statement, and the promise is rejected with the signal's reason.
 * @returns the rows that the server has taken.
 * @throws pg.DatabaseError when the server refused the data; ConnectionLostError; or what the source has thrown, after
 * which the server has undone the statement as well.
 */
export function copyIn(
  client: ClientBase,
  text: string,
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
  signal?: AbortSignal,
): Promise<number> {
  return new Promise((resolve, reject) => {
    client.query(new CopyIn(text, iteratorOf(chunks), signal, resolve, reject))
  })
}

type Source = Iterator<Buffer> | AsyncIterator<Buffer>
type CopyConnection = Connection & { sendCopyFail(reason: string): void }

function iteratorOf(chunks: Iterable<Buffer> | AsyncIterable<Buffer>): Source {
  return Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]()
}

class CopyIn implements Submittable {
  readonly #text: string
  readonly #source: Source
  readonly #signal: AbortSignal | undefined
  readonly #resolve: (rows: number) => void
  readonly #reject: (error: unknown) => void
  /** Resolves when nothing more is to be sent: the statement has ended, or the signal wants it to. */
  readonly #stopped = Promise.withResolvers<void>()
  readonly #stop = () => this.#stopped.resolve()
  #rows = 0
  #sourceIsDone = false
  #settled = false
  /** Why we have broken it off ourselves. */
  #failure: { readonly error: unknown } | undefined

  constructor(
    text: string,
    source: Source,
    signal: AbortSignal | undefined,
    resolve: (rows: number) => void,
    reject: (error: unknown) => void,
  ) {
    this.#text = text
    this.#source = source
    this.#signal = signal
    this.#resolve = resolve
    this.#reject = reject
    signal?.addEventListener('abort', this.#stop, { once: true })
  }

  submit(connection: Connection): void {
    connection.query(this.#text)
  }

  handleCopyInResponse(connection: CopyConnection): void {
    void this.#send(connection).catch((error: unknown) => {
      this.#failure ??= { error }
      // Once the statement is over nobody listens: the server drops what belongs to no COPY.
      if (!this.#settled) connection.sendCopyFail('the source of the data has failed')
    })
  }

  async #send(connection: CopyConnection): Promise<void> {
    for (let written = 0; ; ) {
      this.#signal?.throwIfAborted()
      const next = await Promise.race([this.#source.next(), this.#stopped.promise])
      this.#signal?.throwIfAborted()
      if (this.#settled || next === undefined) return
      if (next.done) break
      if (!writeChunk(connection, next.value)) await this.#drained(connection)
      written += HEADER_BYTES + next.value.length
      if (written < BYTES_PER_TURN) continue
      written = 0
      await nextTurn()
    }
    this.#sourceIsDone = true
    connection.stream.write(COPY_DONE)
  }

  async #drained({ stream }: CopyConnection): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    stream.once('drain', resolve)
    await Promise.race([promise, this.#stopped.promise])
    stream.off('drain', resolve)
  }

  handleCommandComplete(message: { text: string }): void {
    this.#rows = Number(message.text.split(' ')[1] ?? 0)
  }

  handleReadyForQuery(): void {
    this.#settle()
    this.#resolve(this.#rows)
  }

  handleError(error: Error, connection: Connection): void {
    this.#settle()
    if (!(error instanceof pg.DatabaseError)) {
      this.#reject(new ConnectionLostError('unknown', error))
      return
    }
    const ready = () => {
      connection.removeListener('end', ended)
      this.#reject(this.#failure ? this.#failure.error : error)
    }
    const ended = () => {
      connection.removeListener('readyForQuery', ready)
      this.#reject(new ConnectionLostError('unknown', error))
    }
    connection.once('readyForQuery', ready)
    connection.once('end', ended)
  }

  #settle(): void {
    this.#settled = true
    this.#signal?.removeEventListener('abort', this.#stop)
    this.#stop()
    if (this.#sourceIsDone) return
    // Not waited for: a source that never gives the next chunk does not give up either.
    void Promise.resolve(this.#source.return?.()).catch(() => undefined)
  }
}

/** @returns whether there is room for more. */
function writeChunk({ stream }: CopyConnection, chunk: Buffer): boolean {
  const header = Buffer.allocUnsafe(HEADER_BYTES)
  header[0] = COPY_DATA
  header.writeUInt32BE(chunk.length + HEADER_BYTES - 1, 1)
  stream.cork()
  stream.write(header)
  const room = stream.write(chunk)
  stream.uncork()
  return room
}
