import { closeClient, connectClient, hasSqlState, inTransaction, SQLSTATE } from '@freehold/postgres'
import type pg from 'pg'
import { useExactText } from '../../database/exact-text.ts'
import { areHeld, holdTables, letGo } from '../../database/table-hold.ts'
import type { TablePair } from '../../database/tables.ts'
import type { CallOffCode } from '../call-off.ts'
import type { Move } from '../move.ts'
import { areReferencesInStep, largestReference, moveReferences } from '../references.ts'

/** Why the switch is called off. */
interface Obstacle {
  readonly reason: string
  readonly code?: CallOffCode
}

/**
 * The reference tables of the source from before the fence to the seal: nobody changes them, so that what they were found to be they
 * still are when the tenant's last writer has ended. None when the target has none of its own for the tenant.
 */
export class ReferenceHold {
  readonly #move: Move
  readonly #tables: readonly TablePair[]
  readonly #owner: pg.Client | undefined

  private constructor(move: Move, tables: readonly TablePair[], owner: pg.Client | undefined) {
    this.#move = move
    this.#tables = tables
    this.#owner = owner
  }

  /** Only the owner of tables may lock them. Nothing is held yet. */
  static async open(move: Move): Promise<ReferenceHold> {
    const tables = await moveReferences(move)
    if (tables.length === 0) return new ReferenceHold(move, tables, undefined)
    const owner = await connectClient(move.source.owner, 'freehold-switch-references')
    const hold = new ReferenceHold(move, tables, owner)
    try {
      await useExactText(owner)
      return hold
    } catch (error) {
      await hold.close()
      throw error
    }
  }

  get isNeeded(): boolean {
    return this.#owner !== undefined
  }

  /**
   * Holds the tables and compares them with what the target's were made. First without holding them: what differs, or takes too long,
   * is found before anybody waits.
   *
   * @returns what is in the way; otherwise they are held, and in step.
   */
  async begin(): Promise<Obstacle | undefined> {
    const owner = this.#owner
    if (owner === undefined) return undefined
    const { lockTimeoutMs: patienceMs, fenceExpiryMs: idleMs } = this.#move.settings
    const obstacle = await this.#compare(owner, (compare) =>
      inTransaction(owner, compare, 'begin isolation level read committed read only'),
    )
    if (obstacle !== undefined) return obstacle
    const tables = this.#tables.map(({ source }) => source)
    const { signal } = this.#move
    if (!(await holdTables(owner, tables, { patienceMs, idleMs, signal }))) return this.#written(patienceMs)
    return this.#compare(owner, (compare) => compare())
  }

  async #compare(
    owner: pg.Client,
    run: (compare: () => Promise<boolean>) => Promise<boolean>,
  ): Promise<Obstacle | undefined> {
    const { referenceHoldMs } = this.#move.settings
    const compare = async () => {
      await owner.query(`set local statement_timeout = ${Math.ceil(referenceHoldMs)}`)
      return areReferencesInStep(this.#move, owner)
    }
    try {
      return (await run(compare)) ? undefined : { reason: 'Reference tables of the source have changed.' }
    } catch (error) {
      if (!hasSqlState(error, SQLSTATE.queryCanceled)) throw error
      return this.#tooLarge(referenceHoldMs)
    }
  }

  #written(patienceMs: number): Obstacle {
    const names = this.#tables.map(({ source }) => source.key).join(', ')
    return {
      reason: `For ${patienceMs} ms there was no moment in which nobody wrote to the reference tables: ${names}.`,
    }
  }

  #tooLarge(referenceHoldMs: number): Obstacle {
    const { key, rows } = largestReference(this.#move)
    return {
      reason: `The reference tables could not be compared within ${referenceHoldMs} ms, for which their writers would wait; the largest is ${key}, with ${rows} rows.`,
      code: 'reference_table_too_large',
    }
  }

  /** Whether nobody has changed anything since `begin`. */
  async lasts(): Promise<boolean> {
    return this.#owner === undefined || areHeld(this.#owner, this.#move.settings.lockTimeoutMs)
  }

  /** Lets writers go on; not waited for, because a session that is cut does not answer. */
  end(): void {
    if (this.#owner !== undefined) void letGo(this.#owner)
  }

  /** Never rejects. */
  async close(): Promise<void> {
    if (this.#owner !== undefined) await closeClient(this.#owner)
  }
}
