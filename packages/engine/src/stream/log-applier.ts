import { randomUUID } from 'node:crypto'
import { FreeholdError } from '@freehold/contract'
import {
  clientConfig,
  closeClient,
  formatLsn,
  type Lsn,
  liftTimeouts,
  parseLsn,
  watchSilence,
} from '@freehold/postgres'
import pg from 'pg'
import type { TenantScope } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import { diverged, explainRefusedChange } from '../database/key-collision.ts'
import { tableKey } from '../database/table-key.ts'
import type { TablePair } from '../database/tables.ts'
import { targetTaken, targetWriters } from '../database/target-claim.ts'
import type { Applier, ChangedRows, Patience } from './change-stream.ts'
import { ChangeWriter } from './change-writer.ts'
import { ChangedKeys } from './changed-keys.ts'
import type { Relation, RowChange, StreamMessage } from './pgoutput.ts'
import { connectReplication, createSlot } from './replication-client.ts'
import { ReplicationStream, type StreamSource } from './replication-stream.ts'

/** Changes that one transaction at the target carries at most, so that progress is durable often. */
const BATCH_CHANGES = 2_000
/** Changes that wait here at most before the source is read no further; a larger transaction stands alone. */
const QUEUE_CHANGES = 20_000

interface SourceTransaction {
  readonly commitLsn: Lsn
  endLsn: Lsn
  readonly changes: RowChange[]
  readonly markers: string[]
}

/** A marker in the source's log: first it arrives here, later all that precedes it is applied. */
interface Marker {
  readonly arrived: PromiseWithResolvers<void>
  readonly applied: PromiseWithResolvers<void>
}

export interface LogApplierOptions {
  readonly source: StreamSource
  readonly target: TenantScope
  /** Names the row of `freehold.applied` that says how far the target is, and the markers of this stream. */
  readonly stream: string
  /** The lease under which this applier writes; with a newer one at the target it writes nothing. */
  readonly fencingToken: number
  readonly tables: readonly TablePair[]
}

/**
 * Carries the tenant's changes from the source's log to the target, in commit order. The applied position is
 * stored in the transaction that applies, so that every change is applied exactly once, whatever crashes.
 */
export class LogApplier implements Applier {
  readonly #options: LogApplierOptions
  /** Where markers are written, and the log's end is asked for. */
  readonly #source: pg.Client
  readonly #target: pg.Client
  readonly #writer: ChangeWriter
  readonly #queue: SourceTransaction[] = []
  readonly #markers = new Map<string, Marker>()
  readonly #failed = Promise.withResolvers<never>()

  #stream: ReplicationStream | undefined
  #open: SourceTransaction | undefined
  #queuedChanges = 0
  #room: PromiseWithResolvers<void> | undefined
  #applying: Promise<void> | undefined
  /** Transactions that committed at or after this position are kept back. */
  #barrier: Lsn | undefined
  #position: Lsn = 0n
  #changed = new ChangedKeys()
  #changesApplied = 0
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
      await Promise.all([source.connect(), target.connect()])
      watchSilence(source, options.source.address)
      watchSilence(target, options.target.mover)
      await Promise.all([liftTimeouts(source), liftTimeouts(target)])
      await useExactText(target)
      // Triggers and foreign keys have had their effect at the source; firing them again would change rows twice.
      await target.query("set session_replication_role = 'replica'")
      applier.#position = await readAppliedPosition(target, options.stream)
      applier.#stream = await ReplicationStream.open(options.source, applier.#position, {
        onMessage: (message) => applier.#onMessage(message),
        onIdle: (position) => applier.#onIdle(position),
        onFailure: (error) => applier.#fail(error),
      })
    } catch (error) {
      await applier.close()
      throw error
    }
    return applier
  }

  get changesApplied(): number {
    return this.#changesApplied
  }

  async lagBytes(): Promise<number> {
    const result = await this.#orFailure(
      this.#source.query<{ lsn: string }>('select pg_current_wal_flush_lsn() as lsn'),
    )
    const now = parseLsn(result.rows[0]?.lsn ?? '0/0')
    return now > this.#position ? Number(now - this.#position) : 0
  }

  async drain(timeoutMs: number): Promise<number> {
    const started = performance.now()
    const timeout = AbortSignal.timeout(timeoutMs)
    const expired = new Promise<never>((_, reject) => {
      timeout.addEventListener('abort', () => reject(timeout.reason), { once: true })
    })
    await this.#orFailure(Promise.race([this.#mark('applied'), expired]))
    return performance.now() - started
  }

  /** A temporary slot names the point and exports the snapshot there; the applier waits at exactly that point. */
  async atOnePoint<T>(patience: Patience, work: (snapshot: string) => Promise<T>): Promise<T> {
    const { source, fencingToken } = this.#options
    const replication = await connectReplication(source.address, 'freehold-verify')
    try {
      await this.#pause()
      const point = await createSlot(replication, {
        // Another worker's may still be there, until the server has noticed that it is gone.
        name: `${source.slot}_verify_${fencingToken}`,
        lifetime: 'temporary',
        ...patience,
      })
      await this.#advanceTo(point.consistentPoint)
      return await work(point.snapshot)
    } finally {
      this.#resume()
      await closeClient(replication)
    }
  }

  changedRows(): ChangedRows | undefined {
    return this.#changed.rows
  }

  takeChangedRows(): ChangedRows | undefined {
    return this.#changed.take()
  }

  giveBack(rows: ChangedRows): void {
    this.#changed.giveBack(rows)
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

  /** Stops applying; what arrives waits. Resolves when nothing is being applied any more. */
  async #pause(): Promise<void> {
    this.#barrier = 0n
    await this.#orFailure(this.#applying ?? Promise.resolve())
  }

  /** After {@link #pause}: applies what committed before `point`, and stops there. */
  async #advanceTo(point: Lsn): Promise<void> {
    this.#changed = new ChangedKeys()
    // The marker commits after the point: when it has arrived, everything before the point has.
    await this.#orFailure(this.#mark('arrived'))
    this.#barrier = point
    this.#pump()
    await this.#orFailure(this.#applying ?? Promise.resolve())
  }

  /** Lets everything through again. */
  #resume(): void {
    this.#barrier = undefined
    this.#pump()
  }

  async #mark(until: keyof Marker): Promise<void> {
    const content = randomUUID()
    const marker = { arrived: Promise.withResolvers<void>(), applied: Promise.withResolvers<void>() }
    this.#markers.set(content, marker)
    // Transactional: only a commit makes the server write out the log up to here at once.
    await this.#source.query('select pg_logical_emit_message(true, $1, $2)', [this.#options.stream, content])
    await marker[until].promise
  }

  #orFailure<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failed.promise])
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#over = true
    this.#failed.reject(error)
    this.#room?.resolve()
    void this.#stream?.close()
  }

  async #onMessage(message: StreamMessage): Promise<void> {
    switch (message.kind) {
      case 'relation':
        this.#writer.requireKnown(message.relation)
        return
      case 'truncate':
        throw truncated(message.relations)
      case 'begin':
        this.#open = { commitLsn: message.commitLsn, endLsn: message.commitLsn, changes: [], markers: [] }
        return
      case 'insert':
      case 'update':
      case 'delete':
        this.#open?.changes.push(message)
        return
      case 'marker':
        if (message.prefix !== this.#options.stream) return
        this.#open?.markers.push(message.content)
        this.#markers.get(message.content)?.arrived.resolve()
        return
      case 'commit':
        return this.#enqueue(message.endLsn)
    }
  }

  async #enqueue(endLsn: Lsn): Promise<void> {
    const transaction = this.#open
    if (transaction === undefined) return
    this.#open = undefined
    // The slot may stand before what the target has: these were applied by an earlier applier.
    if (endLsn <= this.#position) return
    transaction.endLsn = endLsn
    this.#queue.push(transaction)
    this.#queuedChanges += transaction.changes.length
    this.#pump()
    if (this.#queuedChanges <= QUEUE_CHANGES || this.#over) return
    this.#room = Promise.withResolvers<void>()
    await this.#room.promise
  }

  /** The source has nothing for us up to `position`; the slot may move on if nothing waits here either. */
  #onIdle(position: Lsn): void {
    // After a failure nothing waits here either, but what failed is not applied: acknowledged, it would be lost.
    if (this.#over) return
    if (this.#open !== undefined || this.#queue.length > 0 || this.#applying !== undefined) return
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
      })
  }

  async #applyQueue(): Promise<void> {
    for (let batch = this.#takeBatch(); batch.length > 0 && !this.#over; batch = this.#takeBatch()) {
      await this.#apply(batch)
    }
  }

  #takeBatch(): SourceTransaction[] {
    let changes = 0
    let count = 0
    for (const transaction of this.#queue) {
      if (this.#barrier !== undefined && transaction.commitLsn >= this.#barrier) break
      if (count > 0 && changes + transaction.changes.length > BATCH_CHANGES) break
      changes += transaction.changes.length
      count++
    }
    this.#queuedChanges -= changes
    if (this.#queuedChanges <= QUEUE_CHANGES) this.#room?.resolve()
    return this.#queue.splice(0, count)
  }

  /** Applies source transactions in one transaction of the target, in one burst and one answer per statement. */
  async #apply(batch: readonly SourceTransaction[]): Promise<void> {
    const last = batch.at(-1)
    if (last === undefined) return
    const changes = batch.flatMap((transaction) => transaction.changes)
    if (changes.length > 0) {
      const results = await Promise.all([
        this.#target.query('begin'),
        this.#target.query({
          name: 'enter',
          text: "select set_config('freehold.entry', $1, true)",
          values: [this.#options.target.entryKey],
        }),
        this.#target.query({
          name: 'position',
          text: `update freehold.applied set lsn = $3, updated_at = clock_timestamp()
                 where stream = $1 and fencing_token = $2`,
          values: [this.#options.stream, this.#options.fencingToken, formatLsn(last.endLsn)],
        }),
        ...changes.map((change) => this.#target.query(this.#writer.statement(change))),
      ])
      if (results[2]?.rowCount !== 1) throw targetTaken()
      const missed = results.slice(3).findIndex((result) => result.rowCount !== 1)
      if (missed >= 0) throw divergence(changes[missed])
      await this.#target.query('commit')
    }
    for (const change of changes) {
      const { tables, keys } = this.#writer.touchedKeys(change)
      this.#changed.remember(tables, keys)
    }
    this.#changesApplied += changes.length
    this.#position = last.endLsn
    this.#stream?.acknowledge(last.endLsn)
    for (const transaction of batch) {
      for (const content of transaction.markers) {
        this.#markers.get(content)?.applied.resolve()
        this.#markers.delete(content)
      }
    }
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
