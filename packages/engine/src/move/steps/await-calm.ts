import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError, type MoveProgress } from '@freehold/contract'
import { tenantLock } from '@freehold/postgres'
import type pg from 'pg'
import { alignSequences } from '../../database/sequences.ts'
import { type Finding, refuseBlocked } from '../../preflight/finding.ts'
import { recheckMove } from '../../preflight/recheck-move.ts'
import type { Applier } from '../../stream/change-stream.ts'
import { moveTables, runningApplier } from '../applier-session.ts'
import { createStreamBack } from '../create-stream-back.ts'
import { holdWhile } from '../hold.ts'
import { hasWindow, type Move, sourceScope, targetScope } from '../move.ts'
import { tellRouters } from '../tell-routers.ts'

const CATCH_UP_TIMEOUT_MS = 600_000
const BACK_OFF_MS = 100
const MAX_BACK_OFF_MS = 5_000
const WRITER_POLL_MS = 100

/**
 * ready: waits until people let the switch begin, and until the target is so close behind the source that it will be
 * short. A worker that did not run the verification itself does not know which rows changed since, and has it run again.
 */
export async function awaitCalm(move: Move): Promise<'settled' | 'changes_forgotten'> {
  const { cutoverAttempts } = move.state
  if (cutoverAttempts >= move.settings.maxCutoverAttempts) {
    throw new FreeholdError('cutover_timeout', `Given up after ${cutoverAttempts} attempts to switch.`)
  }
  if (cutoverAttempts > 0) {
    const wait = Math.min(BACK_OFF_MS * 2 ** (cutoverAttempts - 1), MAX_BACK_OFF_MS)
    await sleep(wait * (0.5 + Math.random()), undefined, { signal: move.signal })
  }
  await move.orders.renew()
  await holdWhile(move, ({ maySwitch }) => !maySwitch, true)
  if (hasWindow(move) && move.state.streamAtTarget === null) await createStreamBack(move)
  const applier = await runningApplier(move)
  if (move.session.verifiedBy !== applier || applier.changedRows() === undefined) return 'changes_forgotten'
  await move.connections.use(move.source.mover, async (source) => {
    refuseBlocked(await recheck(move, source))
    await tellRouters(move)
    await bringSequencesForward(move, source)
    const deadline = performance.now() + CATCH_UP_TIMEOUT_MS
    for (;;) {
      move.signal.throwIfAborted()
      move.progress.update({
        lagBytes: await applier.lagBytes(),
        changesApplied: applier.changesApplied,
        ...staleness(move, applier),
      })
      const writerMs = await tenantLock.oldestSharedMs(source, move.operation.tenantId)
      const lagMs = await applier.drain(CATCH_UP_TIMEOUT_MS)
      const hasLongWriter = writerMs > move.settings.lockTimeoutMs
      if (lagMs <= move.settings.maxLagMs && !hasLongWriter) return
      if (performance.now() > deadline) {
        const held = hasLongWriter ? ` A transaction has been open for ${Math.round(writerMs / 1000)} s.` : ''
        throw new FreeholdError(
          'cutover_timeout',
          `The change stream lags by ${Math.round(lagMs)} ms.${held}`,
        )
      }
      // The switch would keep other writers waiting for it, and be called off.
      if (hasLongWriter) await sleep(WRITER_POLL_MS, undefined, { signal: move.signal })
    }
  })
  return 'settled'
}

/** How much of what was verified has changed since. */
function staleness({ progress }: Move, applier: Applier): Pick<MoveProgress, 'verification'> {
  const { verification } = progress.current
  const changed = applier.changedRows()?.reduce((sum, { keys }) => sum + keys.length, 0)
  return { verification: verification && { ...verification, changedSince: changed ?? null } }
}

/** Most of what they are behind is made up for before writers have to wait for it. */
async function bringSequencesForward(move: Move, source: pg.Client): Promise<void> {
  const scope = await targetScope(move)
  await move.connections.use(scope.mover, async (target) =>
    alignSequences(
      { client: source, scope: sourceScope(move) },
      { client: target, scope },
      await moveTables(move),
    ),
  )
}

/** The short form of the preflight. */
function recheck({ source, target, state }: Move, client: pg.ClientBase): Promise<Finding[]> {
  const slot = state.changeStream === 'triggers' ? null : state.streamAtSource
  return recheckMove({ source: { client, cluster: source.cluster.id, slot }, target })
}
