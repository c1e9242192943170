import { setTimeout as sleep } from 'node:timers/promises'
import type { Directions } from '@freehold/catalog'
import { FreeholdError, isFreeholdError } from '@freehold/contract'
import { tenantLock } from '@freehold/postgres'
import type pg from 'pg'
import { alignSequences } from '../../database/sequences.ts'
import {
  describeUnenteredWriter,
  findUnenteredWriter,
  relationsOf,
} from '../../database/unentered-writers.ts'
import { type Finding, refuseBlocked } from '../../preflight/finding.ts'
import { recheckMove } from '../../preflight/recheck-move.ts'
import type { Applier } from '../../stream/change-stream.ts'
import { runningApplier } from '../applier-session.ts'
import { behind, type CallOffCode, isCloseBehind } from '../call-off.ts'
import { createStreamBack } from '../create-stream-back.ts'
import { holdWhile } from '../hold.ts'
import { hasWindow, type Move, sourceScope, targetScope } from '../move.ts'
import { moveSequences } from '../move-sequences.ts'
import { moveTables } from '../move-tables.ts'
import { bringReferencesInStep } from '../references.ts'
import { tellRouters } from '../tell-routers.ts'

/** How often what people say is heard while nothing else is being waited for. */
const HEAR_MS = 1_000
const POLL_MS = 100
/** What is known of an attempt of another worker. */
const CALLED_OFF = { reason: 'The switch was called off.', code: 'cutover_timeout' } as const

/**
 * ready: waits until people let the switch begin, and until the target is so close behind the source that it will be
 * short. A worker that did not run the verification itself does not know which rows changed since, and has it run again.
 *
 * @throws FreeholdError `cutover_timeout` when no moment to switch has come, or it was called off too often;
 * `reference_table_too_large` when that was because of them.
 */
export async function awaitCalm(move: Move): Promise<'settled' | 'changes_forgotten'> {
  await backOff(move)
  await move.orders.renew()
  for (;;) {
    await awaitPermission(move)
    if (hasWindow(move) && move.state.streamAtTarget === null) await createStreamBack(move)
    const applier = await runningApplier(move)
    if (move.session.verifiedBy !== applier || applier.changedRows() === undefined) {
      delete move.session.calmSoughtSince
      return 'changes_forgotten'
    }
    if (!(await referencesFollow(move))) return 'changes_forgotten'
    const calm = await move.connections.use(move.source.mover, async (source) => {
      refuseBlocked(await recheck(move, source))
      await tellRouters(move)
      await bringSequencesForward(move, source)
      await move.barrier('ready.aligned')
      return findCalm(move, applier, source)
    })
    if (calm) return 'settled'
  }
}

/**
 * What has become of the reference tables since the verification, which may be days ago.
 *
 * @returns false when they were changed, and when rows are in the way: of tenant and reference tables together, only a verification
 * sees one state.
 */
async function referencesFollow(move: Move): Promise<boolean> {
  try {
    const { rewritten } = await move.connections.use(move.source.mover, (client) =>
      bringReferencesInStep(move, { client, scope: sourceScope(move) }),
    )
    return !rewritten
  } catch (error) {
    if (isFreeholdError(error, 'foreign_key_broken', 'verification_failed')) return false
    throw error
  }
}

/**
 * Waits after a switch that was called off, longer each time. Until when is in the catalog; how often it was called off, in
 * the move's state: a worker that comes after this one goes on counting.
 */
async function backOff(move: Move): Promise<void> {
  const { cutoverAttempts, rehearsalsCalledOff } = move.state
  const { maxCutoverAttempts, cutoverBackOff } = move.settings
  const attempts = cutoverAttempts + rehearsalsCalledOff
  const { reason: message, code } = move.session.calledOff ?? CALLED_OFF
  if (attempts >= maxCutoverAttempts) {
    throw givenUp(move, code, `Given up after ${attempts} attempts to switch. ${message}`)
  }
  // Whoever did not verify has that to do first.
  if (attempts === 0 || move.session.verifiedBy === undefined) return
  const longest = Math.min(cutoverBackOff.firstMs * 2 ** (attempts - 1), cutoverBackOff.maxMs)
  const waitMs = Math.round(longest * (0.5 + Math.random() / 2))
  await move.catalog.operations.postpone(move.lease, waitMs, { code: 'switch_called_off', message, attempts })
  const until = performance.now() + waitMs
  for (let left = waitMs; left > 0 && !mayNotSwitch(move.orders.directions); ) {
    await showStanding(move, move.session.verifiedBy)
    await hearOrWait(move, Math.min(left, HEAR_MS))
    left = Math.min(until - performance.now(), left)
  }
}

/** Time that people have the move wait does not count. */
async function awaitPermission(move: Move): Promise<void> {
  if (!mayNotSwitch(move.orders.directions)) return
  delete move.session.calmSoughtSince
  delete move.session.calledOff
  await holdWhile(move, mayNotSwitch, true)
}

const mayNotSwitch = ({ maySwitch }: Directions) => !maySwitch

/** @returns false when people do not let the switch begin any more. */
async function findCalm(move: Move, applier: Applier, source: pg.Client): Promise<boolean> {
  move.session.calmSoughtSince ??= performance.now()
  const tables = await moveTables(move)
  const relations = await relationsOf(
    source,
    tables.map((pair) => pair.source),
  )
  for (;;) {
    move.signal.throwIfAborted()
    if (mayNotSwitch(move.orders.directions)) return false
    await showStanding(move, applier)
    const obstacle =
      (await unenteredWriter(move, source, relations)) ?? (await whatStandsAgainst(move, applier, source))
    if (obstacle === undefined) return true
    const { cutoverPatienceMs } = move.settings
    if (performance.now() - move.session.calmSoughtSince > cutoverPatienceMs) {
      throw givenUp(
        move,
        'cutover_timeout',
        `No moment to switch has come for ${cutoverPatienceMs / 1000} s. ${obstacle}`,
      )
    }
    await hearOrWait(move, POLL_MS)
  }
}

/** Whoever has begun it can end it; the timeline tells once that a move waits for it. */
async function unenteredWriter(
  { session, catalog, lease }: Move,
  source: pg.Client,
  relations: readonly number[],
): Promise<string | undefined> {
  const writer = await findUnenteredWriter(source, relations)
  if (writer === undefined) return undefined
  const reason = describeUnenteredWriter(writer)
  if (session.calledOff?.reason !== reason) {
    await catalog.operations.addEvent(lease, `The switch waits: ${reason}`)
    session.calledOff = { reason, code: 'cutover_timeout', isTold: true }
  }
  return reason
}

/** Why a switch would keep writers waiting, or be called off. */
async function whatStandsAgainst(
  { settings, operation }: Move,
  applier: Applier,
  source: pg.Client,
): Promise<string | undefined> {
  const writerMs = await tenantLock.oldestSharedMs(source, operation.tenantId)
  if (writerMs > settings.lockTimeoutMs) {
    return `A transaction of the tenant has been open for ${Math.round(writerMs / 1000)} s.`
  }
  return (await isCloseBehind(applier, settings.maxLagMs)) ? undefined : behind(settings.maxLagMs)
}

function givenUp({ operation, target, settings }: Move, code: CallOffCode, message: string): FreeholdError {
  const { slug: tenant, id } = operation
  const details = { tenant, move: id, targetCluster: target.cluster.id, maxLagMs: settings.maxLagMs }
  return new FreeholdError(code, message, { details })
}

/** Shows how far the target is behind, and how much of what was verified has changed since. */
async function showStanding(move: Move, applier: Applier): Promise<void> {
  // A target that is stuck does not always say.
  const lagBytes = await Promise.race([applier.lagBytes(), sleep(HEAR_MS, undefined, { ref: false })])
  const { verification } = move.progress.current
  const changedSince = applier.changedRows()?.reduce((sum, { keys }) => sum + keys.length, 0) ?? null
  move.progress.update({
    ...(lagBytes === undefined ? {} : { lagBytes }),
    changesApplied: applier.changesApplied,
    verification: verification && { ...verification, changedSince },
  })
}

/** Waits until people have been heard, but no longer than `ms`. @throws the reason of the move's signal. */
async function hearOrWait({ orders, signal }: Move, ms: number): Promise<void> {
  const heard = new AbortController()
  const waited = sleep(ms, undefined, { signal: AbortSignal.any([signal, heard.signal]) })
  await Promise.race([orders.next(), waited]).catch(() => undefined)
  heard.abort()
  signal.throwIfAborted()
}

/** Most of what they are behind is made up for before writers have to wait for it. */
async function bringSequencesForward(move: Move, source: pg.Client): Promise<void> {
  const scope = await targetScope(move)
  await move.connections.use(scope.mover, async (target) =>
    alignSequences(source, target, await moveSequences(move)),
  )
}

/** The short form of the preflight. */
function recheck({ source, target, state }: Move, client: pg.ClientBase): Promise<Finding[]> {
  const slot = state.changeStream === 'triggers' ? null : state.streamAtSource
  return recheckMove({ source: { client, cluster: source.cluster.id, slot }, target })
}
