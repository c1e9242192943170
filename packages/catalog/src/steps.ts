import { isTerminalPhase, type MovePhase, type MoveProgress, type Problem } from '@freehold/contract'
import type { CatalogDatabase, Queries } from './database.ts'
import { insertEvent } from './events.ts'
import { type Lease, leaseLost } from './leases.ts'
import type { Failure } from './operated-moves.ts'

/** A step from one phase to the next. */
export interface Advance extends Lease {
  readonly fromPhase: MovePhase
  readonly toPhase: MovePhase
  readonly state: object
  /** Shown in the timeline; undefined adds nothing to it. */
  readonly message: string | undefined
  readonly progress?: MoveProgress
  /** Why the operation is being, or was, given up. */
  readonly error?: Problem
  /** Why it is to wait there until somebody resumes it, as if that person had paused it. */
  readonly pause?: { readonly by: string; readonly because: Failure }
}

export type StepsCatalog = ReturnType<typeof createSteps>

/**
 * What a worker writes about the operation that it holds. Each write is refused with `lease_lost` when the token
 * is no longer the newest: the worker must stop, because another has taken over.
 */
export function createSteps(database: CatalogDatabase) {
  return {
    /**
     * Goes on to another phase: phase, state and timeline change together or not at all. A terminal phase ends
     * the operation and its lease. The first time in `soak` begins the rollback window.
     *
     * @throws FreeholdError `lease_lost`, also when the operation is not in `fromPhase`.
     */
    async advance(step: Advance): Promise<void> {
      const terminal = isTerminalPhase(step.toPhase)
      await database.transaction(async (queries) => {
        const advanced = await queries.run(
          `update catalog.operations
           set phase = $4, state = $5, progress = coalesce($6, progress), error = coalesce($7, error), attempts = 0,
             last_failure = $10,
             paused_at = case when $9::text is null then paused_at else coalesce(paused_at, clock_timestamp()) end,
             paused_by = case when $9::text is null then paused_by else coalesce(paused_by, $9) end,
             updated_at = clock_timestamp(),
             finished_at = case when $8 then clock_timestamp() end,
             window_closes_at = case when $4 = 'soak' and rollback_window_seconds > 0
               then coalesce(window_closes_at, clock_timestamp() + rollback_window_seconds * interval '1 second')
               else window_closes_at end,
             lease_owner = case when not $8 then lease_owner end,
             lease_expires_at = case when not $8 then lease_expires_at end
           where id = $1 and fencing_token = $2 and phase = $3 and finished_at is null`,
          [
            step.id,
            step.token,
            step.fromPhase,
            step.toPhase,
            JSON.stringify(step.state),
            step.progress === undefined ? null : JSON.stringify(step.progress),
            step.error === undefined ? null : JSON.stringify(step.error),
            terminal,
            step.pause?.by ?? null,
            step.pause === undefined ? null : JSON.stringify(step.pause.because),
          ],
        )
        if (advanced === 0) throw leaseLost(step)
        if (step.message !== undefined) await insertEvent(queries, step.id, step.message)
      })
    },

    /** Keeps what is needed to resume. @throws FreeholdError `lease_lost` */
    async saveState(lease: Lease, state: object): Promise<void> {
      await write(database, lease, 'state = $3', [JSON.stringify(state)])
    },

    /** Makes another database or schema the one that the move is to fill. @throws FreeholdError `lease_lost` */
    async retarget(lease: Lease, to: { readonly database: string; readonly schema: string }): Promise<void> {
      await write(database, lease, 'target_database_name = $3, target_schema = $4', [to.database, to.schema])
    },

    /** Keeps what is shown, and tells those who follow. @throws FreeholdError `lease_lost` */
    async saveProgress(lease: Lease, progress: MoveProgress): Promise<void> {
      await write(database, lease, 'progress = $3, updated_at = clock_timestamp()', [
        JSON.stringify(progress),
      ])
    },

    /** Adds to the timeline within the phase. @throws FreeholdError `lease_lost` */
    async addEvent(lease: Lease, message: string): Promise<void> {
      await database.transaction(async (queries) => {
        await write(queries, lease, 'updated_at = clock_timestamp()', [])
        await insertEvent(queries, lease.id, message)
      })
    },

    /**
     * Records, before the point of no return, that it is about to be passed. From then on a cancel and a pause are
     * refused; one that came first wins, as does the end of the window in which the switch may begin.
     *
     * @returns false when the switch may not begin: nothing was written.
     * @throws FreeholdError `lease_lost`
     */
    async intendSwitch(lease: Lease, state: object): Promise<boolean> {
      return database.transaction(async (queries) => {
        const intended = await queries.run(
          `update catalog.operations set switch_intended = true, state = $3
           where id = $1 and fencing_token = $2 and finished_at is null and catalog.may_switch(operations)`,
          [lease.id, lease.token, JSON.stringify(state)],
        )
        if (intended === 0) await write(queries, lease, 'state = state', [])
        return intended === 1
      })
    },

    /**
     * Records that the source is not in step any more: rolling back would lose writes, and is refused from here on.
     *
     * @throws FreeholdError `lease_lost`
     */
    async declareRollbackUnsafe(lease: Lease, problem: Problem): Promise<void> {
      await database.transaction(async (queries) => {
        await write(
          queries,
          lease,
          'rollback_error = $3, rollback_requested = false, updated_at = clock_timestamp()',
          [JSON.stringify(problem)],
        )
        await insertEvent(queries, lease.id, `Rolling back is not safe any more: ${problem.detail}`)
      })
    },

    /**
     * Gives a rollback up that could not be made. It can be asked for again: the rollback window begins anew.
     *
     * @throws FreeholdError `lease_lost`
     */
    async callOffRollback(lease: Lease, state: object, why: string): Promise<void> {
      await database.transaction(async (queries) => {
        await write(
          queries,
          lease,
          `rollback_requested = false, state = $3, updated_at = clock_timestamp(),
           window_closes_at = clock_timestamp() + rollback_window_seconds * interval '1 second'`,
          [JSON.stringify(state)],
        )
        await insertEvent(queries, lease.id, `The rollback is called off: ${why}`)
      })
    },

    /**
     * Takes the intent back once it is certain that the point of no return was not passed; the move may be
     * cancelled again.
     *
     * @throws FreeholdError `lease_lost`
     */
    async withdrawSwitch(lease: Lease, state: object): Promise<void> {
      await write(database, lease, 'switch_intended = false, state = $3', [JSON.stringify(state)])
    },
  }
}

async function write(
  queries: Queries,
  lease: Lease,
  assignments: string,
  values: readonly unknown[],
): Promise<void> {
  const written = await queries.run(
    `update catalog.operations set ${assignments}
     where id = $1 and fencing_token = $2 and finished_at is null`,
    [lease.id, lease.token, ...values],
  )
  if (written === 0) throw leaseLost(lease)
}
