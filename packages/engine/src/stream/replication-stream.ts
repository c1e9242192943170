import { FreeholdError } from '@freehold/contract'
import {
  closeClient,
  type DatabaseAddress,
  formatLsn,
  type Lsn,
  quoteIdentifier,
  quoteLiteral,
} from '@freehold/postgres'
import type pg from 'pg'
import { both, type CopyBothStream } from 'pg-copy-streams'
import { PgoutputDecoder, type StreamMessage } from './pgoutput.ts'
import { connectReplication } from './replication-client.ts'

const STATUS_INTERVAL_MS = 1_000
/** With each so many the server is asked to answer, so that its silence means something. */
const STATUS_TO_ANSWER = 5
/** Postgres counts microseconds from 2000-01-01. */
const POSTGRES_EPOCH_MS = 946_684_800_000

export interface StreamSource {
  readonly address: DatabaseAddress
  readonly slot: string
  readonly publication: string
}

export interface StreamListener {
  /**
   * Takes a message and how many bytes it came in; while the returned promise is pending no further one is read from the
   * source.
   */
  onMessage(message: StreamMessage, bytes: number): Promise<void> | undefined
  /** Everything in the log up to here has been delivered, and held nothing for this stream. */
  onIdle(position: Lsn): void
  /** The stream broke; it is over. */
  onFailure(error: unknown): void
}

/**
 * A logical replication stream. The source is told only what {@link acknowledge} was told: a position that is
 * merely received must never be acknowledged, because the slot would then forget what a crash here still needs.
 */
export class ReplicationStream {
  readonly #client: pg.Client
  readonly #copy: CopyBothStream
  readonly #timer: NodeJS.Timeout
  /** Settled by the first frame, which the server sends at once, or by its refusal. */
  readonly #begun = Promise.withResolvers<void>()
  #acknowledged: Lsn
  #statuses = 0
  #closed = false

  private constructor(client: pg.Client, copy: CopyBothStream, start: Lsn) {
    this.#client = client
    this.#copy = copy
    this.#acknowledged = start
    this.#timer = setInterval(
      () => this.#sendStatus(++this.#statuses % STATUS_TO_ANSWER === 0),
      STATUS_INTERVAL_MS,
    )
  }

  /**
   * Opens the stream of a slot at `start`, or where the slot stands when that is further. It connects while that is being found out.
   *
   * @throws DatabaseError when the server refuses: 55006 while another reader has the slot, 42704 when there is none,
   * 55000 when it was invalidated.
   */
  static async open(
    source: StreamSource,
    start: Promise<Lsn>,
    listener: StreamListener,
  ): Promise<ReplicationStream> {
    const client = await connectReplication(source.address, 'freehold-stream')
    try {
      // A sender whose reader has vanished is to end, so that it can be told from one that is busy.
      await client.query(
        `select set_config(name, '60s', false) from pg_settings where name = 'wal_sender_timeout' and setting = '0'`,
      )
      return await ReplicationStream.#begin(client, source, await start, listener)
    } catch (error) {
      await closeClient(client)
      throw error
    }
  }

  static async #begin(
    client: pg.Client,
    source: StreamSource,
    start: Lsn,
    listener: StreamListener,
  ): Promise<ReplicationStream> {
    const copy = client.query(
      both(
        `START_REPLICATION SLOT ${quoteIdentifier(source.slot)} LOGICAL ${formatLsn(start)} (` +
          `proto_version '1', messages 'true', publication_names ${quoteLiteral(quoteIdentifier(source.publication))})`,
        // Object mode keeps the frames apart: as bytes, several would be read as one. It counts them whatever their size: one
        // that waits is enough, and those that came in the same piece of the network's.
        { alignOnCopyDataFrame: true, readableObjectMode: true, readableHighWaterMark: 1 },
      ),
    )
    copy.on('error', () => undefined)
    const stream = new ReplicationStream(client, copy, start)
    stream.#read(listener).catch((error) => {
      stream.#begun.reject(error)
      if (!stream.#closed) listener.onFailure(error)
    })
    try {
      await stream.#begun.promise
    } catch (error) {
      await stream.close()
      throw error
    }
    return stream
  }

  /** Lets the source forget what lies before `position`: only what is committed at the target. */
  acknowledge(position: Lsn): void {
    if (position > this.#acknowledged) this.#acknowledged = position
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#sendStatus()
    this.#closed = true
    clearInterval(this.#timer)
    this.#copy.destroy()
    await closeClient(this.#client)
  }

  async #read(listener: StreamListener): Promise<void> {
    const decoder = new PgoutputDecoder()
    for await (const frame of this.#copy as AsyncIterable<Buffer>) {
      this.#begun.resolve()
      switch (frame[0]) {
        case 0x77 /* w: XLogData */:
          {
            const message = decoder.decode(frame.subarray(25))
            if (message !== undefined) await listener.onMessage(message, frame.length)
            break
          }
        case 0x6b /* k: keepalive */:
          {
            listener.onIdle(frame.readBigUInt64BE(1))
            if (frame[17] === 1) this.#sendStatus()
            break
          }
      }
    }
    throw new FreeholdError('source_unreachable', 'The server ended the change stream.')
  }

  #sendStatus(toAnswer = false): void {
    if (this.#closed || !this.#copy.writable) return
    const status = Buffer.alloc(34)
    status[0] = 0x72 /* r: standby status update */
    status.writeBigUInt64BE(this.#acknowledged, 1)
    status.writeBigUInt64BE(this.#acknowledged, 9)
    status.writeBigUInt64BE(this.#acknowledged, 17)
    status.writeBigInt64BE(BigInt(Date.now() - POSTGRES_EPOCH_MS) * 1000n, 25)
    status[33] = toAnswer ? 1 : 0
    this.#copy.write(status)
  }
}
