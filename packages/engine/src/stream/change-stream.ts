import type { LedgerEntry } from '@freehold/catalog'
import type { DatabaseAddress } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { TenantScope } from '../database/entered.ts'
import type { TablePair } from '../database/tables.ts'
import type { Misfits } from './misfits.ts'

/** A primary key's values as text, in the order of `TableShape.primaryKey`. */
export type Key = readonly string[]

/** The rows changed since a point, by table: what is left to compare at the cutover. */
export type ChangedRows = readonly { readonly tables: TablePair; readonly keys: readonly Key[] }[]

/** From where to where a tenant's changes are carried. Which of a move's two sides is which, its maker says. */
export interface StreamRoute {
  /** Names the row of `freehold.applied` at `to`: the same for every worker of the move. */
  readonly stream: string
  /** Names what the stream makes at `from`. Carries the token of the lease that makes it. */
  readonly name: string
  /** Where the tenant is written to; as the owner of its tables as well. */
  readonly from: TenantScope & { readonly owner: DatabaseAddress }
  readonly to: TenantScope
  /** The tenant's tables; `source` is at `from`, `target` at `to`. */
  readonly tables: readonly TablePair[]
}

/** How long something may wait for transactions that are open at the source; `source_busy` after it. */
export interface Patience {
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** Patience for {@link Applier.atOnePoint}. */
export interface PointPatience extends Patience {
  readonly after?: Promise<unknown>
  /** What has changed since the point before is still to be compared. */
  readonly isNext?: boolean
}

/** A snapshot of the source that others can look at, for `SET TRANSACTION SNAPSHOT`, until it is released. */
export interface HeldSnapshot {
  readonly snapshot: string
  release(): Promise<void>
}

/**
 * How the changes of one tenant get from one database to another while it is written to. What each implementation
 * guarantees, and what it takes at the source, stands in docs/protocol.md.
 */
export interface ChangeStream {
  /** What {@link create} makes at the source: to be recorded in the cleanup ledger before. */
  readonly resources: readonly Pick<LedgerEntry, 'kind' | 'name'>[]

  /**
   * Makes the stream. Every write of the tenant that the returned snapshot does not show is kept for the target from
   * here on, whether or not somebody reads the stream.
   *
   * @param begun called when part of it is there.
   * @throws FreeholdError `source_busy`, or the reason of the signal.
   */
  create(patience: Patience, begun?: () => Promise<void>): Promise<HeldSnapshot>

  /**
   * The tables at the source whose changes the stream carries, as `quoteTable` writes them.
   *
   * @param source connected to the source.
   */
  carriedTables(source: ClientBase): Promise<ReadonlySet<string>>

  /**
   * Goes on from where the target stands. The target must be claimed for this token.
   *
   * @param fencingToken the lease under which the applier writes; with a newer one at the target it writes nothing.
   * @param misfits what becomes of changes that do not fit what the target has.
   * @throws FreeholdError `change_stream_failed` when the stream is gone from the source.
   */
  startApplier(fencingToken: number, misfits: Misfits): Promise<Applier>
}

/**
 * Carries changes to the target as they are made. The target moves from one committed state of the source to a later
 * one, and each change is applied exactly once, whatever crashes.
 *
 * A failure ends the applier: every pending and later call rejects with it, and the move goes on with a new one.
 */
export interface Applier {
  /** Row changes carried over by this applier. */
  readonly changesApplied: number

  /**
   * How many changes did not fit and were passed over since this was called last, by table. After one, all rows have to be
   * compared: nothing else finds what it left.
   */
  takePassedOver(): ReadonlyMap<string, number>
  /** Grows with everything that comes forward, in the midst of a large transaction as well. */
  readonly steps: number

  /** How much of what the source has kept for the stream the target does not have yet, in bytes. */
  lagBytes(): Promise<number>

  /**
   * Waits until all that has committed at the source before this call is applied at the target.
   *
   * @param behind a session at the source: what it has been asked so far, answered or not, comes before that point. Then its answers
   * need not be waited for.
   * @returns how long that took, in ms: the lag of the stream as a writer would feel it.
   * @throws DOMException (TimeoutError) when it takes longer than `timeoutMs`; the failure of the stream, if any.
   */
  drain(timeoutMs: number, behind?: ClientBase): Promise<number>

  /**
   * Brings the target to exactly one state of the source, and keeps it there while `work` looks at both. Writers of the
   * source notice nothing. From that point on the keys of changed rows are remembered; from the one before it, when this is the
   * next point of a comparison that takes several.
   *
   * @param patience with what the point is to come after: connections are opened meanwhile.
   * @param work is given the source's state as an exported snapshot.
   * @throws FreeholdError `source_busy`, or the reason of the signal; what `after` rejects with.
   */
  atOnePoint<T>(patience: PointPatience, work: (snapshot: string) => Promise<T>): Promise<T>

  /**
   * The rows changed since {@link atOnePoint}; undefined when all have to be compared again, because they are too many to be
   * remembered or a change was passed over.
   */
  changedRows(): ChangedRows | undefined

  /**
   * Hands over the rows of {@link changedRows}, to be compared: what changes from now on is remembered anew, so a row
   * that is found equal after this and does not change again is equal for good. The others are to be given back.
   */
  takeChangedRows(): ChangedRows | undefined

  /** Gives back rows that were taken and are not known to be equal. */
  giveBack(rows: ChangedRows): void

  close(): Promise<void>
}
