import { randomUUID } from 'node:crypto'
import { FreeholdError } from '@freehold/contract'
import {
  clientConfig,
  closeClient,
  formatLsn,
  type Lsn,
  liftTimeouts,
  parseLsn,
  sendTogether,
  watchSilence,
} from '@freehold/postgres'
import pg from 'pg'
import { allEnded } from '../all-ended.ts'
import type { TenantScope } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import { diverged, explainRefusedChange } from '../database/key-collision.ts'
import { tableKey } from '../database/table-key.ts'
import type { TablePair } from '../database/tables.ts'
import { targetTaken, targetWriters } from '../database/target-claim.ts'
import { ChangeQueue, type TransactionPart } from './change-queue.ts'
import type { Applier, ChangedRows, PointPatience } from './change-stream.ts'
import { ChangeWriter } from './change-writer.ts'
import { ChangedKeys } from './changed-keys.ts'
import { completeChanges } from './complete-changes.ts'
import { type Misfits, PassedOver, unlessTaken } from './misfits.ts'
import type { Relation, RowChange, StreamMessage } from './pgoutput.ts'
import { connectReplication, createSlot } from './replication-client.ts'
import { ReplicationStream, type StreamSource } from './replication-stream.ts'

const ENTER = { name: 'enter', text: "select set_config('freehold.entry', $1, true)" }
/** Held until the transaction ends by whoever updates it, so that no other worker comes between two parts of it. */
const CLAIM = {
  name: 'claim',
  text: `update freehold.applied set lsn = coalesce($3, lsn), updated_at = clock_timestamp()
         where stream = $1 and fencing_token = $2`,
}

export interface LogApplierOptions {
  readonly source: StreamSource
  /** The tenant at the source. */
  readonly from: TenantScope
  readonly target: TenantScope
  /** Names the row of `freehold.applied` that says how far the target is, and the markers of this stream. */
  readonly stream: string
  /** The lease under which this applier writes; with a newer one at the target it writes nothing. */
  readonly fencingToken: number
  readonly misfits: Misfits
  readonly tables: readonly TablePair[]
}

/**
 * Carries the tenant's changes from the source's log to the target, in commit order. The applied position is
 * stored in the transaction that applies, so that every change is applied exactly once, whatever crashes. A source
 * transaction of any size is one transaction of the target, into which its changes go as they arrive.
 */
export class LogApplier implements Applier {
  readonly #options: LogApplierOptions
  /** Where markers are written, and the log's end is asked for. */
  readonly #source: pg.Client
  readonly #target: pg.Client
  readonly #writer: ChangeWriter
  readonly #queue = new ChangeQueue()
  /** What to call when a marker in the log, and so all that precedes it, is applied. */
  readonly #markers = new Map<string, () => void>()
  readonly #failed = Promise.withResolvers<never>()

  #stream: ReplicationStream | undefined
  #applying: Promise<void> | undefined
  /** Transactions that committed at or after this position are kept back. */
  #barrier: Lsn | undefined
  /** Of the point to which the target is being brought: what is read of the source is then to be as it is there. */
  #snapshot: string | undefined
  #position: Lsn = 0n
  /** undefined: a change was passed over, and all rows have to be compared. */
  #changed: ChangedKeys | undefined = new ChangedKeys()
  readonly #passedOver = new PassedOver()
  #changesApplied = 0
  #steps = 0
  /** Up to where the source has told that there is nothing for us. */
  #idleUpTo: Lsn = 0n
  /** Changes in the transaction that is open at the target, because the rest of its source transaction is yet to come. */
  #changesUnderWay: number | undefined
  #over = false

  private constructor(options: LogApplierOptions, source: pg.Client, target: pg.Client) {
    this.#options = options
    this.#source = source
    this.#target = target
    this.#writer = new ChangeWriter(options.tables)
    // Whoever waits sees the failure; when nobody does, it is seen by the next call.
    this.#failed.promise.catch(() => undefined)
  }

  /** Connects to both sides and goes on from where the target stands. */
  static async start(options: LogApplierOptions): Promise<LogApplier> {
    const source = new pg.Client(clientConfig(options.source.address, 'freehold-stream'))
    const target = new pg.Client({
      ...clientConfig(options.target.mover, targetWriters(options.stream).apply),
      pipeline: true,
    })
    const applier = new LogApplier(options, source, target)
    for (const client of [source, target]) client.on('error', (error) => applier.#fail(error))
    try {
      const position = applier.#connect()
      const stream = ReplicationStream.open(options.source, position, {
        onMessage: (message, bytes) => applier.#onMessage(message, bytes),
        onIdle: (position) => applier.#onIdle(position),
        onFailure: (error) => applier.#fail(error),
      })
      await allEnded([position, stream])
      applier.#stream = await stream
    } catch (error) {
      await applier.close()
      throw error
    }
    return applier
  }

  /** @returns where to begin. */
  async #connect(): Promise<Lsn> {
    const { source, target, stream } = this.#options
    await Promise.all([this.#source.connect(), this.#target.connect()])
    watchSilence(this.#source, source.address)
    watchSilence(this.#target, target.mover)
    await Promise.all([liftTimeouts(this.#source), liftTimeouts(this.#target)])
    await useExactText(this.#target)
    // Triggers and foreign keys have had their effect at the source; firing them again would change rows twice.
    await this.#target.query("set session_replication_role = 'replica'")
    this.#position = await readAppliedPosition(this.#target, stream)
    return this.#position
  }

  get changesApplied(): number {
    return this.#changesApplied
  }

  get steps(): number {
    return this.#steps
  }

  async lagBytes(): Promise<number> {
    const result = await this.#orFailure(
      this.#source.query<{ lsn: string }>('select pg_current_wal_flush_lsn() as lsn'),
    )
    const now = parseLsn(result.rows[0]?.lsn ?? '0/0')
    return now > this.#position ? Number(now - this.#position) : 0
  }

  async drain(timeoutMs: number, behind: pg.ClientBase = this.#source): Promise<number> {
    const started = performance.now()
    const timeout = AbortSignal.timeout(timeoutMs)
    const expired = new Promise<never>((_, reject) => {
      timeout.addEventListener('abort', () => reject(timeout.reason), { once: true })
    })
    await this.#orFailure(Promise.race([this.#marked(behind), expired]))
    return performance.now() - started
  }

  /** A temporary slot names the point and exports the snapshot there; the applier waits at exactly that point. */
  async atOnePoint<T>(
    { after = Promise.resolve(), isNext = false, ...patience }: PointPatience,
    work: (snapshot: string) => Promise<T>,
  ): Promise<T> {
    const { source, fencingToken } = this.#options
    const replication = connectReplication(source.address, 'freehold-verify')
    try {
      await allEnded([after, replication])
      patience.signal.throwIfAborted()
      await this.#pause()
      const point = await createSlot(await replication, {
        // Another worker's may still be there, until the server has noticed that it is gone.
        name: `${source.slot}_verify_${fencingToken}`,
        lifetime: 'temporary',
        ...patience,
      })
      this.#snapshot = point.snapshot
      await this.#advanceTo(point.consistentPoint)
      if (!isNext) this.#changed = new ChangedKeys()
      return await work(point.snapshot)
    } finally {
      this.#snapshot = undefined
      this.#resume()
      await replication.then(closeClient, () => undefined)
    }
  }

  changedRows(): ChangedRows | undefined {
    return this.#changed?.rows
  }

  takeChangedRows(): ChangedRows | undefined {
    return this.#changed?.take()
  }

  giveBack(rows: ChangedRows): void {
    this.#changed?.giveBack(rows)
  }

  takePassedOver(): ReadonlyMap<string, number> {
    return this.#passedOver.take()
  }

  async close(): Promise<void> {
    this.#fail(new Error('the applier was closed'))
    // All at once: what is being applied would wait for ever for a target that has vanished.
    await Promise.all([
      this.#applying,
      this.#stream?.close(),
      closeClient(this.#source),
      closeClient(this.#target),
    ])
  }

  /**
   * Begins no further transaction; what arrives waits. Resolves when nothing is being applied any more: what is under way has
   * committed at the source, and the rest of it comes. Left open, it would keep a slot on the same server from being created.
   */
  async #pause(): Promise<void> {
    this.#barrier = 0n
    await this.#settled()
  }

  /** After {@link #pause}: applies what committed before `point`, and stops there. */
  async #advanceTo(point: Lsn): Promise<void> {
    this.#barrier = point
    this.#pump()
    // Something that commits after the point: it, or what else is the first to do so, says that all before the point is here.
    await this.#emit(this.#source, '')
    await this.#orFailure(this.#queue.begunAt(point))
    this.#pump()
    await this.#settled()
  }

  /** Resolves when nothing is left that may be applied. */
  async #settled(): Promise<void> {
    while (this.#applying !== undefined) await this.#orFailure(this.#applying)
  }

  /** Lets everything through again. */
  #resume(): void {
    this.#barrier = undefined
    this.#pump()
  }

  /** Resolves when all is applied that has committed before the marker, which is written when the session comes to it. */
  async #marked(session: pg.ClientBase): Promise<void> {
    const content = randomUUID()
    const applied = Promise.withResolvers<void>()
    this.#markers.set(content, applied.resolve)
    await this.#emit(session, content)
    await applied.promise
  }

  /** Transactional: only a commit makes the server write out the log up to here at once. */
  async #emit(session: pg.ClientBase, content: string): Promise<void> {
    await session.query('select pg_logical_emit_message(true, $1, $2)', [this.#options.stream, content])
  }

  #orFailure<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failed.promise])
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#over = true
    this.#failed.reject(error)
    this.#queue.close()
    void this.#stream?.close()
  }

  #onMessage(message: StreamMessage, bytes: number): Promise<void> | undefined {
    switch (message.kind) {
      case 'relation':
        this.#writer.requireKnown(message.relation)
        return undefined
      case 'truncate':
        throw truncated(message.relations)
      case 'begin':
        // The slot may stand before what the target has: such were applied by an earlier applier.
        if (message.commitLsn >= this.#position) this.#queue.begin(message.commitLsn, message.xid)
        return undefined
      case 'insert':
      case 'update':
      case 'delete':
        return this.#arrived(this.#queue.change(message, bytes))
      case 'marker':
        if (message.prefix === this.#options.stream) this.#queue.marker(message.content)
        return undefined
      case 'commit':
        return this.#arrived(this.#queue.commit(message.endLsn))
    }
  }

  #arrived(room: Promise<void> | undefined): Promise<void> | undefined {
    this.#pump()
    return room
  }

  /** The source has nothing for us up to `position`; the slot may move on if nothing waits here either. */
  #onIdle(position: Lsn): void {
    // After a failure nothing waits here either, but what failed is not applied: acknowledged, it would be lost.
    if (this.#over) return
    if (!this.#queue.isEmpty || this.#applying !== undefined) return
    // Before a transaction can be sent its server reads all of it, and says how far it is.
    if (position > this.#idleUpTo) this.#steps++
    this.#idleUpTo = position
    if (position <= this.#position) return
    this.#position = position
    this.#stream?.acknowledge(position)
  }

  #pump(): void {
    if (this.#applying !== undefined || this.#over) return
    this.#applying = this.#applyQueue()
      .catch(async (error: unknown) =>
        this.#fail(await explainRefusedChange(this.#target, error, this.#options.tables)),
      )
      .finally(() => {
        this.#applying = undefined
        // It may have come when the last round had found nothing.
        if (this.#queue.mayTake(this.#barrier)) this.#pump()
      })
  }

  async #applyQueue(): Promise<void> {
    while (!this.#over) {
      const { arrival } = this.#queue
      const batch = this.#queue.take(this.#barrier)
      if (batch.length > 0) await this.#apply(batch)
      else if (this.#changesUnderWay !== undefined) await this.#orFailure(arrival)
      else return
    }
  }

  /** Applies whole transactions, or a part of one, in one burst and one answer per statement. */
  async #apply(batch: readonly TransactionPart[]): Promise<void> {
    const completed: (readonly RowChange[])[] = []
    for (const { changes, xid } of batch) {
      completed.push(await completeChanges({ ...this.#options, changes, xid, snapshot: this.#snapshot }))
    }
    const changes = completed.flat()
    const endLsn = batch.at(-1)?.endLsn
    if (changes.length > 0 || this.#changesUnderWay !== undefined) await this.#carryOver(changes, endLsn)
    // Of a transaction that has not committed here yet, too: it has at the source, so whoever compares such a row too early
    // finds it different, or changed back by another that is still to come.
    for (const change of changes) {
      const { tables, keys } = this.#writer.touchedKeys(change)
      this.#changed?.remember(tables, keys)
    }
    this.#steps++
    const underWay = (this.#changesUnderWay ?? 0) + changes.length
    if (endLsn === undefined) {
      this.#changesUnderWay = underWay
      return
    }
    this.#changesUnderWay = undefined
    this.#changesApplied += underWay
    this.#position = endLsn
    this.#stream?.acknowledge(endLsn)
    for (const content of batch.flatMap((part) => part.markers)) {
      this.#markers.get(content)?.()
      this.#markers.delete(content)
    }
  }

  /** @param endLsn commits the target's transaction, with this as its position; undefined leaves it open. */
  async #carryOver(changes: readonly RowChange[], endLsn: Lsn | undefined): Promise<void> {
    const { stream, fencingToken, target } = this.#options
    const position = endLsn === undefined ? null : formatLsn(endLsn)
    const begins = this.#changesUnderWay === undefined
    const isPatient = this.#options.misfits.arePassedOver()
    const [claim, fitted] = await sendTogether(this.#target, () => {
      const entered = begins
        ? [this.#target.query('begin'), this.#target.query({ ...ENTER, values: [target.entryKey] })]
        : []
      return Promise.all([
        this.#target.query({ ...CLAIM, values: [stream, fencingToken, position] }),
        isPatient ? this.#writeWhatFits(changes) : this.#write(changes),
        ...entered,
      ])
    })
    if (claim.rowCount !== 1) throw targetTaken()
    const misfits = changes.filter((_, index) => !fitted[index])
    if (misfits[0] !== undefined && !isPatient) throw divergence(misfits[0])
    if (endLsn !== undefined) await this.#target.query('commit')
    if (misfits.length > 0) this.#changed = undefined
    for (const change of misfits) this.#passedOver.note(this.#writer.touchedKeys(change).tables.source)
  }

  /** @returns for each change whether it found its one row. */
  async #write(changes: readonly RowChange[]): Promise<boolean[]> {
    const results = await Promise.all(
      changes.map((change) => this.#target.query(this.#writer.statement(change))),
    )
    return results.map(({ rowCount }) => rowCount === 1)
  }

  /** As {@link #write}; a change that is refused because of a row that the target has too many does not fit. */
  async #writeWhatFits(changes: readonly RowChange[]): Promise<boolean[]> {
    const all = await unlessTaken(this.#target, () => this.#write(changes))
    if (all !== undefined) return all
    const fitted: boolean[] = []
    for (const change of changes) {
      const [fits = false] = (await unlessTaken(this.#target, () => this.#write([change]))) ?? []
      fitted.push(fits)
    }
    return fitted
  }
}

async function readAppliedPosition(target: pg.ClientBase, stream: string): Promise<Lsn> {
  const result = await target.query<{ lsn: string }>('select lsn from freehold.applied where stream = $1', [
    stream,
  ])
  const row = result.rows[0]
  return row === undefined ? 0n : parseLsn(row.lsn)
}

/** It empties the table for every tenant, and no row filter applies to it: not something to carry over unasked. */
function truncated(relations: readonly Relation[]): FreeholdError {
  const tables = relations.map((relation) => tableKey(relation.table)).join(', ')
  return new FreeholdError('change_stream_failed', `${tables} was truncated at the source during the move.`)
}

function divergence(change: RowChange | undefined): FreeholdError {
  const what =
    change === undefined ? 'A change' : `The ${change.kind} of a row of ${tableKey(change.relation.table)}`
  return diverged(what, 'is not')
}
