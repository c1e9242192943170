import { hasSqlState, SQLSTATE } from '@freehold/postgres'
import type pg from 'pg'
import type { TableShape } from '../database/tables.ts'

/**
 * What becomes of a change that does not fit what the target has: of a row that is not there, or that brings what is unique to
 * one that is there and should not be.
 */
export interface Misfits {
  /**
   * Whether it is passed over: its row is left as it is, for a verification of all rows to find and to repair. Otherwise it ends
   * the applier with `verification_failed`.
   */
  arePassedOver(): boolean
}

/** How many changes were passed over, by table. */
export class PassedOver {
  #counts = new Map<string, number>()

  note({ key }: TableShape): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  /** Hands over what has been counted, and begins anew. */
  take(): ReadonlyMap<string, number> {
    const counts = this.#counts
    this.#counts = new Map()
    return counts
  }
}

/** Whether a row was refused because what is unique of it is at the target already. */
export function isTaken(error: unknown): error is pg.DatabaseError {
  return hasSqlState(error, SQLSTATE.uniqueViolation, SQLSTATE.exclusionViolation)
}

/**
 * Does something in a transaction that goes on as if it had not been tried when a row {@link isTaken}. One at a time.
 *
 * @returns undefined then.
 */
export async function unlessTaken<T>(target: pg.Client, work: () => Promise<T>): Promise<T | undefined> {
  const begun = target.query('savepoint tried')
  const tried = work()
  const released = target.query('release savepoint tried')
  const [{ reason: error } = { reason: undefined }] = (
    await Promise.allSettled([begun, tried, released])
  ).filter((result) => result.status === 'rejected')
  if (error === undefined) return tried
  if (!isTaken(error)) throw error
  await target.query('rollback to savepoint tried')
  return undefined
}
