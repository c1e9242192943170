import { setTimeout as sleep } from 'node:timers/promises'
import { hasSqlState, inTransaction, quoteTable, SQLSTATE } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { outwaitAutovacuum } from './autovacuum.ts'
import type { TableShape } from './tables.ts'

/** Whoever writes to one of the tables waits behind the lock that is waited for, so each try is short. */
const TRY_MS = 50
const PAUSE_MS = 100

interface HoldTerms {
  /** How long a moment is sought in which nobody writes to any of the tables. */
  readonly patienceMs: number
  /** How long the session may do nothing while it holds them; then the server ends it, and they are free. */
  readonly idleMs: number
  readonly signal: AbortSignal
}

/**
 * Keeps everybody from changing the rows of some tables, and of their partitions, until the transaction that it leaves open ends.
 * Who reads them, or refers to them by a foreign key, passes; who writes waits. So does another who holds them in the same way.
 *
 * @param owner connected as the owner of the tables, in no transaction.
 * @returns whether they are held; otherwise the session is in no transaction.
 * @throws the reason of the signal.
 */
export async function holdTables(
  owner: ClientBase,
  tables: readonly Pick<TableShape, 'table'>[],
  { patienceMs, idleMs, signal }: HoldTerms,
): Promise<boolean> {
  const names = tables.map(({ table }) => quoteTable(table)).join(', ')
  const deadline = performance.now() + patienceMs
  for (;;) {
    signal.throwIfAborted()
    if (await tryToHold(owner, names, idleMs)) return true
    if (performance.now() >= deadline) return false
    await keepAutovacuumOff(owner, names)
    await sleep(PAUSE_MS * (0.5 + Math.random()))
  }
}

/**
 * The limit is one for all of the tables together. It is below what a writer waits before it looks for a deadlock: one that has
 * written to the second table and waits for the first, which is held, goes on, and is not ended by its server.
 */
async function tryToHold(owner: ClientBase, names: string, idleMs: number): Promise<boolean> {
  try {
    // What is asked afterwards is to see what was committed before the lock was got, whatever the role's default is.
    await owner.query(
      `begin isolation level read committed;
       set local idle_in_transaction_session_timeout = ${Math.ceil(idleMs)};
       select set_config('statement_timeout', greatest(1, least(${TRY_MS},
         extract(epoch from current_setting('deadlock_timeout')::interval) * 1000 / 2))::int::text, true);
       lock table ${names} in share mode;
       set local statement_timeout = 0`,
    )
    return true
  } catch (error) {
    await letGo(owner)
    if (hasSqlState(error, SQLSTATE.queryCanceled, SQLSTATE.deadlockDetected)) return false
    throw error
  }
}

/** Nobody who reads or writes waits behind the lock that an autovacuum gives way to. */
async function keepAutovacuumOff(owner: ClientBase, names: string): Promise<void> {
  try {
    await inTransaction(owner, async () => {
      await outwaitAutovacuum(owner)
      await owner.query(`lock table ${names} in share update exclusive mode`)
    })
  } catch (error) {
    if (!hasSqlState(error, SQLSTATE.lockNotAvailable, SQLSTATE.deadlockDetected)) throw error
  }
}

/**
 * Whether they have been held since `holdTables` has returned, until now.
 *
 * @param timeoutMs an answer that takes longer is none.
 */
export async function areHeld(owner: ClientBase, timeoutMs: number): Promise<boolean> {
  // Refused outside of a transaction, and in one that has failed, which has lost its locks.
  const proof = { text: 'savepoint held', query_timeout: timeoutMs }
  return owner.query(proof).then(
    () => true,
    () => false,
  )
}

/** Has the tables be free; of a session that is cut, they are already. */
export async function letGo(owner: ClientBase): Promise<void> {
  await owner.query('rollback').catch(() => undefined)
}
