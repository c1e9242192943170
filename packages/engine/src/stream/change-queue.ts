import type { Lsn } from '@freehold/postgres'
import type { RowChange } from './pgoutput.ts'

/** What one burst of statements carries at most; source transactions that are larger come in parts. */
const BATCH = { changes: 2_000, bytes: 4 * 1024 * 1024 }
/** What waits here at most before the source is read no further. */
const MOST_WAITING = { changes: 3 * BATCH.changes, bytes: 3 * BATCH.bytes }

/** A source transaction, or a part of one that is too large to be held here as a whole. */
export interface TransactionPart {
  /** Where it commits in the source's log; known before its first change, because nothing is sent before it has committed. */
  readonly commitLsn: Lsn
  readonly xid: number
  readonly isFirst: boolean
  readonly changes: readonly RowChange[]
  readonly bytes: number
  /** Where the log goes on behind it; undefined: more of the transaction is to come. */
  readonly endLsn: Lsn | undefined
  /** Contents of the markers in it; all of them are in its last part. */
  readonly markers: readonly string[]
}

/** The transaction that is arriving. */
interface OpenTransaction {
  readonly commitLsn: Lsn
  readonly xid: number
  readonly markers: string[]
  isFirst: boolean
  changes: RowChange[]
  bytes: number
}

/** Changes on their way from the source's log to the target, in commit order. It is never longer than a few batches. */
export class ChangeQueue {
  readonly #parts: TransactionPart[] = []
  #open: OpenTransaction | undefined
  #changes = 0
  #bytes = 0
  #room: PromiseWithResolvers<void> | undefined
  #arrival = Promise.withResolvers<void>()
  #begun: Lsn = 0n
  #awaited: { readonly lsn: Lsn; readonly begun: () => void } | undefined
  #closed = false

  /** Nothing is arriving and nothing waits. */
  get isEmpty(): boolean {
    return this.#open === undefined && this.#parts.length === 0
  }

  begin(commitLsn: Lsn, xid: number): void {
    this.#open = { commitLsn, xid, markers: [], isFirst: true, changes: [], bytes: 0 }
    this.#begun = commitLsn
    if (this.#awaited !== undefined && commitLsn >= this.#awaited.lsn) this.#awaited.begun()
  }

  /** @returns a promise when the source is not to be read further before it is fulfilled. */
  change(change: RowChange, bytes: number): Promise<void> | undefined {
    const open = this.#open
    if (open === undefined) return undefined
    open.changes.push(change)
    open.bytes += bytes
    if (open.changes.length < BATCH.changes && open.bytes < BATCH.bytes) return undefined
    return this.#push(open, undefined)
  }

  marker(content: string): void {
    this.#open?.markers.push(content)
  }

  /** @returns as {@link change}. */
  commit(endLsn: Lsn): Promise<void> | undefined {
    const open = this.#open
    this.#open = undefined
    return open === undefined ? undefined : this.#push(open, endLsn)
  }

  /**
   * Hands over what is to be applied next: some transactions, or a part of a large one.
   *
   * @param barrier transactions that commit there or later are kept back.
   */
  take(barrier: Lsn | undefined): TransactionPart[] {
    let [count, changes, bytes] = [0, 0, 0]
    for (const part of this.#parts) {
      if (isKeptBack(part, barrier)) break
      const isWhole = part.isFirst && part.endLsn !== undefined
      const fits =
        isWhole && changes + part.changes.length <= BATCH.changes && bytes + part.bytes <= BATCH.bytes
      if (count > 0 && !fits) break
      count++
      changes += part.changes.length
      bytes += part.bytes
      if (!isWhole) break
    }
    this.#changes -= changes
    this.#bytes -= bytes
    if (!this.#isFull()) this.#room?.resolve()
    return this.#parts.splice(0, count)
  }

  /** Whether {@link take} would hand over anything. */
  mayTake(barrier: Lsn | undefined): boolean {
    const [next] = this.#parts
    return next !== undefined && !isKeptBack(next, barrier)
  }

  /** Fulfilled when something more has come, or the queue is closed. */
  get arrival(): Promise<void> {
    return this.#arrival.promise
  }

  /** Fulfilled when a transaction that commits at `lsn` or later has begun to arrive: all that precede it have. */
  async begunAt(lsn: Lsn): Promise<void> {
    if (this.#begun >= lsn) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#awaited = { lsn, begun: resolve }
    await promise
  }

  /** Nobody waits any more, and nothing that comes is kept. */
  close(): void {
    this.#closed = true
    this.#open = undefined
    this.#room?.resolve()
    this.#arrival.resolve()
  }

  #push(open: OpenTransaction, endLsn: Lsn | undefined): Promise<void> | undefined {
    const { commitLsn, xid, isFirst, changes, bytes } = open
    this.#parts.push({
      commitLsn,
      xid,
      isFirst,
      changes,
      bytes,
      endLsn,
      markers: endLsn === undefined ? [] : open.markers,
    })
    Object.assign(open, { isFirst: false, changes: [], bytes: 0 })
    this.#changes += changes.length
    this.#bytes += bytes
    this.#arrival.resolve()
    this.#arrival = Promise.withResolvers<void>()
    if (!this.#isFull() || this.#closed) return undefined
    this.#room = Promise.withResolvers<void>()
    return this.#room.promise
  }

  #isFull(): boolean {
    return this.#changes >= MOST_WAITING.changes || this.#bytes >= MOST_WAITING.bytes
  }
}

/** What has begun is ended, whatever the barrier. */
function isKeptBack({ isFirst, commitLsn }: TransactionPart, barrier: Lsn | undefined): boolean {
  return isFirst && barrier !== undefined && commitLsn >= barrier
}
