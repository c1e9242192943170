import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HomeSwitch } from '@freehold/catalog'
import { type DataDatabaseId, type FreeholdError, isFreeholdError } from '@freehold/contract'
import {
  closeClient,
  connectClient,
  type DatabaseAddress,
  hasSqlState,
  SQLSTATE,
  sendTogether,
  tenantLock,
  withClient,
} from '@freehold/postgres'
import type pg from 'pg'
import { verificationFailed } from '../../database/checksum.ts'
import type { TenantScope } from '../../database/entered.ts'
import { useExactText } from '../../database/exact-text.ts'
import {
  activate,
  claimSwitch,
  fence,
  freeze,
  leave,
  type Resident,
  readResident,
  rehearseMarks,
  retire,
  seal,
  unfence,
} from '../../database/resident.ts'
import { schemaFingerprint } from '../../database/schema-fingerprint.ts'
import { alignSequences } from '../../database/sequences.ts'
import {
  describeUnenteredWriter,
  findUnenteredWriter,
  relationsOf,
  type UnenteredWriter,
} from '../../database/unentered-writers.ts'
import { moveTables, runningApplier } from '../applier-session.ts'
import { behind, isCloseBehind, noteCalledOff } from '../call-off.ts'
import { compareRows } from '../compare.ts'
import { hasWindow, type Move, sourceScope, targetDatabaseId, targetScope } from '../move.ts'
import { moveSequences } from '../move-sequences.ts'
import { areReferencesInStep } from '../references.ts'
import { mayRepair } from '../repair.ts'
import { sourceClaim } from '../take-target.ts'
import { targetGone } from '../target-gone.ts'
import { awaitRouters } from '../tell-routers.ts'

/** Each compares what has changed during the one before. */
const MIN_REHEARSALS = 3
/** One that takes no longer is quick: what follows the fence will be. */
const QUICK_MS = 10
/** How long to rehearse for a quick one, while routers connect to the target. */
const PATIENCE_MS = 200
/** Between rehearsals, which keep both machines busy themselves: what has piled up behind one is not to stand before the fence. */
const BREATH_MS = 15
/**
 * How long those who have waited for the switch are let go first, all at once as they come: connections that are closed, and what the
 * next phase begins with, would have them wait on.
 */
const WAY_MS = 60

const REFERENCES_CHANGED = 'Reference tables of the source have changed.'

/** The connections of a switch, opened before writers have to wait for anything. */
interface Switch {
  readonly move: Move
  readonly source: { readonly scope: TenantScope; readonly client: pg.Client }
  /** Holds the exclusive lock from the drain to the seal; when it is cut, the attempt is over. */
  readonly lockHolder: pg.Client
  readonly target: { readonly scope: TenantScope; readonly client: pg.Client; readonly id: DataDatabaseId }
}

/** A switch that has been rehearsed. */
interface ReadySwitch extends Switch {
  /** The tenant's tables at the source, and their partitions. */
  readonly relations: readonly number[]
}

type NotSwitched = 'not_switched' | { readonly event: 'given_up'; readonly error: FreeholdError }
type SwitchOutcome = 'switched' | NotSwitched

/**
 * cutover: makes the target the tenant's home. The steps and what each guarantees are those of docs/protocol.md; the
 * seal is the point of no return. What is found at the source decides how an interrupted attempt goes on: sealed
 * means forward, everything else means that nothing has happened.
 */
export async function switchHome(move: Move): Promise<SwitchOutcome> {
  let attempt: Switch
  try {
    attempt = await openSwitch(move)
  } catch (error) {
    const gone = await targetGone(move, error)
    // Once the source is sealed there is only forward, and the database has to come back.
    if (gone === undefined || (await finishSwitch(move))) throw error
    await withdraw(move)
    return { event: 'given_up', error: gone }
  }
  try {
    await claimSwitch(attempt.source.client, attempt.source.scope, move.lease)
    await move.barrier('cutover.claimed')
    if (await settleEarlierAttempt(move, attempt.source)) {
      await impatiently(attempt, () => completeSwitch(attempt))
      await leaveSource(attempt)
      return 'switched'
    }
    if (move.signal.aborted || move.session.verifiedBy === undefined) return await withdraw(move)
    const tables = await moveTables(move)
    const relations = await relationsOf(
      attempt.lockHolder,
      tables.map(({ source }) => source),
    )
    const ready = { ...attempt, relations }
    if (!(await rehearse(ready))) return await withdraw(move)
    await move.barrier('cutover.rehearsed')
    return await attemptSwitch(ready)
  } finally {
    await closeSwitch(attempt)
  }
}

/**
 * Does what writers would have to wait for once before they do: all rows but those that change now are compared, and
 * connections and caches are warm, and the machines are not busy with routers that connect to the target.
 *
 * @returns false when the target is too far behind, too many rows have changed to be remembered, reference tables have changed,
 * or somebody writes who does not enter.
 */
async function rehearse(attempt: ReadySwitch): Promise<boolean> {
  const { move, source, lockHolder, target, relations } = attempt
  const { maxLagMs } = move.settings
  const applier = await runningApplier(move)
  await awaitRouters(move)
  const sealing = { client: lockHolder, relations }
  await rehearseMarks(source.client, sealing, target.client, move.lease, streamBack(move))
  await move.catalog.placements.rehearseSwitch(homeSwitch(attempt))
  if (isHeldUp(move, await findUnenteredWriter(lockHolder, relations))) return calledOffInRehearsal(move)
  await Promise.all([
    schemaFingerprint(lockHolder, move.source.schema),
    schemaFingerprint(target.client, move.target.schema),
  ])
  if (!(await areReferencesInStep(move, lockHolder, 'patient'))) {
    noteCalledOff(move, REFERENCES_CHANGED)
    return calledOffInRehearsal(move)
  }
  await alignSequences(lockHolder, target.client, await moveSequences(move))
  const begun = performance.now()
  for (let rehearsal = 1, tookMs = Number.POSITIVE_INFINITY; ; rehearsal++) {
    const isQuick = tookMs <= QUICK_MS || performance.now() - begun > PATIENCE_MS
    if (rehearsal > MIN_REHEARSALS && isQuick) return true
    const started = performance.now()
    if (!(await isCloseBehind(applier, maxLagMs))) {
      noteCalledOff(move, behind(maxLagMs))
      return calledOffInRehearsal(move)
    }
    const changed = applier.takeChangedRows()
    if (changed === undefined) return false
    applier.giveBack(await compareRows(source, target, changed))
    tookMs = performance.now() - started
    await sleep(BREATH_MS)
  }
}

function calledOffInRehearsal(move: Move): false {
  move.state = { ...move.state, rehearsalsCalledOff: move.state.rehearsalsCalledOff + 1 }
  return false
}

async function attemptSwitch(attempt: ReadySwitch): Promise<SwitchOutcome> {
  const { move } = attempt
  const token = randomUUID()
  const intent = { ...move.state, cutoverToken: token, cutoverAttempts: move.state.cutoverAttempts + 1 }
  if (!(await move.catalog.operations.intendSwitch(move.lease, intent))) {
    delete move.session.calledOff
    return 'not_switched'
  }
  move.state = intent
  move.progress.update({ cutoverAttempts: intent.cutoverAttempts })
  await move.barrier('cutover.intended')

  const started = performance.now()
  const sealed = await impatiently(attempt, () => fenceToSeal(attempt, token, started))
  if (sealed !== 'sealed') return sealed
  await move.barrier('cutover.sealed')

  await impatiently(attempt, () => completeSwitch(attempt))
  const writePauseMs = performance.now() - started
  move.progress.update({ writePauseMs: Math.round(writePauseMs * 10) / 10, lagBytes: null })
  await leaveSource(attempt)
  return 'switched'
}

/** Everything from the fence to the point of no return. */
async function fenceToSeal(
  attempt: ReadySwitch,
  token: string,
  started: number,
): Promise<'sealed' | NotSwitched> {
  const { move, source } = attempt
  const { settings } = move
  if (!(await fence(source.client, source.scope, move.lease, token, settings.fenceExpiryMs)))
    return withdraw(move)
  try {
    await move.barrier('cutover.fenced')
    if (!(await drain(attempt, started + settings.fenceExpiryMs))) return await liftFence(attempt, token)
    await move.barrier('cutover.drained')
    const { lockHolder: client, relations } = attempt
    if (await seal({ client, relations }, source.scope, token)) return 'sealed'
    const outcome = await liftFence(attempt, token)
    if (!isHeldUp(move, await findUnenteredWriter(source.client, relations)))
      noteCalledOff(move, 'The fence had expired.')
    return outcome
  } catch (error) {
    // Writers go on at once, unless the seal has taken effect without an answer: then only the source knows, and
    // is asked when the step runs again.
    const lifted = await unfence(source.client, source.scope, token).catch(() => false)
    if (!lifted) throw error
    await letWritersGoOn(move)
    return notSwitchedBecause(attempt, error)
  }
}

/**
 * Does what writers wait for. A server that has vanished without closing its connections is not waited for until the
 * network says so: after a fence's time they are broken here, and the step is run again with others.
 */
async function impatiently<T>(
  { move, source, lockHolder, target }: Switch,
  work: () => Promise<T>,
): Promise<T> {
  const timer = setTimeout(() => {
    for (const client of [source.client, lockHolder, target.client]) client.connection.stream.destroy()
  }, move.settings.fenceExpiryMs)
  try {
    return await work()
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Goes forward with an attempt that has passed the point of no return, and makes sure that no other can go on. Of the target
 * nothing is needed to find that out.
 *
 * @returns whether the tenant has been switched.
 */
export async function finishSwitch(move: Move): Promise<boolean> {
  const source = sourceScope(move)
  const sealed = await withClient(source.mover, 'freehold-switch', async (client) => {
    await claimSwitch(client, source, move.lease)
    return settleEarlierAttempt(move, { scope: source, client })
  })
  if (!sealed) return false
  const attempt = await openSwitch(move)
  try {
    await impatiently(attempt, () => completeSwitch(attempt))
    await leaveSource(attempt)
  } finally {
    await closeSwitch(attempt)
  }
  return true
}

/** Everything that follows the seal. Each step is safe to run twice and by two workers at once; only forward. */
async function completeSwitch(attempt: Switch): Promise<void> {
  const { move, source, target } = attempt
  await freeze(target.client, target.scope, streamBack(move))
  await move.barrier('cutover.frozen')
  await move.catalog.placements.switchHome(homeSwitch(attempt))
  await move.barrier('cutover.home_switched')
  await retire(source.client, source.scope)
  await move.barrier('cutover.retired')
  // Together: the message is on its way while the target commits, and a writer that comes too early is held once more.
  await Promise.all([
    activate(target.client, target.scope),
    move.catalog.announcements.announceOpen(move.operation.tenantId, move.target.epoch),
  ])
  await move.barrier('cutover.activated')
}

const homeSwitch = ({ move: { operation, source, target }, target: { id } }: Switch): HomeSwitch => ({
  tenantId: operation.tenantId,
  fromEpoch: source.epoch,
  toEpoch: target.epoch,
  dataDatabaseId: id,
  isolation: target.isolation,
  schema: target.schema,
})

/** Nobody waits for this: it is for those who read at the source with a key that they have kept. */
async function leaveSource(attempt: Switch): Promise<void> {
  await impatiently(attempt, () => leave(attempt.source.client, attempt.source.scope))
  await attempt.move.barrier('cutover.left')
  await sleep(WAY_MS)
}

/** What will carry the target's changes back, when the move may be rolled back. */
const streamBack = (move: Move) => (hasWindow(move) ? sourceClaim(move) : undefined)

/**
 * Waits for the tenant's writers at the source, brings the target to the same point, and compares. What the session with the lock is
 * asked goes out together: the server does one after the other, and its answers are not waited for in between.
 *
 * @returns false when a writer does not end, the tables of either side are not what they were when they were verified, reference
 * tables have changed, or more rows have changed since than can be remembered, or some differ that may be repaired: to be verified
 * again.
 */
async function drain(attempt: ReadySwitch, deadline: number): Promise<boolean> {
  const { move, source, target, lockHolder } = attempt
  const applier = await runningApplier(move)
  const sequences = await moveSequences(move)
  const timeoutMs = Math.min(
    Math.max(1, Math.floor(deadline - performance.now())),
    move.settings.fenceExpiryMs,
  )
  const drainAndCompare = async (lockedOut: Promise<boolean>) => {
    await applier.drain(timeoutMs, lockHolder)
    if (!(await lockedOut)) return undefined
    const changed = applier.changedRows()
    return changed && compareRows(source, target, changed)
  }
  // In this order: the marker goes its way through the log while the rest is looked for.
  const [isLockedOut, different, atSource, atTarget, inStep] = await sendTogether(lockHolder, () => {
    const lockedOut = lockWritersOut(attempt)
    return Promise.all([
      lockedOut,
      drainAndCompare(lockedOut),
      schemaFingerprint(lockHolder, move.source.schema),
      schemaFingerprint(target.client, move.target.schema),
      areReferencesInStep(move, lockHolder, 'impatient'),
      alignSequences(lockHolder, target.client, sequences),
    ])
  })
  if (!isLockedOut) return false
  const [first] = different ?? []
  // Under the fence nothing is repaired: writers would wait for it.
  const isRepairable = first !== undefined && mayRepair(move)
  const { verifiedSchemas: verified } = move.session
  const isAsVerified = atSource === verified?.source && atTarget === verified.target
  if (different === undefined || !isAsVerified || isRepairable) {
    delete move.session.verifiedBy
    noteCalledOff(move, 'The verification has to be repeated.')
    return false
  }
  if (first !== undefined) throw verificationFailed(first)
  if (!inStep) noteCalledOff(move, REFERENCES_CHANGED)
  return inStep
}

/**
 * @returns whether every transaction of the tenant at the source has ended, and none can begin; and nobody writes to its tables who
 * has not entered, and whom neither fence nor lock keep out.
 */
async function lockWritersOut({ move, lockHolder, relations }: ReadySwitch): Promise<boolean> {
  try {
    // Sent together, and looked for when the lock is got: who writes from here on commits after the marker, or is seen at the seal.
    const [, writer] = await Promise.all([
      tenantLock.acquireExclusive(lockHolder, move.operation.tenantId, {
        timeoutMs: move.settings.lockTimeoutMs,
        idleMs: move.settings.fenceExpiryMs,
      }),
      findUnenteredWriter(lockHolder, relations),
    ])
    return !isHeldUp(move, writer)
  } catch (error) {
    if (!hasSqlState(error, SQLSTATE.lockNotAvailable)) throw error
    noteCalledOff(
      move,
      `A transaction of the tenant was open for more than ${move.settings.lockTimeoutMs} ms.`,
    )
    return false
  }
}

/** Writers that do not enter are waited for like long ones, before the next attempt; the timeline says for whom. */
function isHeldUp(move: Move, writer: UnenteredWriter | undefined): boolean {
  if (writer === undefined) return false
  noteCalledOff(move, describeUnenteredWriter(writer))
  return true
}

/**
 * Finds out what became of the attempt that the catalog has recorded, and makes sure that it cannot go on: without the
 * claim, a slow worker cannot fence; without its fence, its seal fails; and without its lock, writers do not wait for it.
 *
 * @returns whether the source is sealed.
 */
async function settleEarlierAttempt(move: Move, source: Switch['source']): Promise<boolean> {
  const { cutoverToken } = move.state
  if (cutoverToken === null) return false
  const lifted = await unfence(source.client, source.scope, cutoverToken)
  await tenantLock.endExclusiveHolder(source.client, move.operation.tenantId)
  if (lifted) return false
  return isPastNoReturn(await readResident(source.client, source.scope))
}

function isPastNoReturn(resident: Resident | undefined): boolean {
  return resident?.state === 'sealed' || resident?.state === 'moved'
}

async function liftFence({ move, source }: Switch, token: string): Promise<'not_switched'> {
  await unfence(source.client, source.scope, token)
  await letWritersGoOn(move)
  await move.barrier('cutover.unfenced')
  return withdraw(move)
}

/** Routers are told that the home is the one that it was; without that they ask a little later. The next attempt is announced anew. */
async function letWritersGoOn({ catalog, operation, source, session }: Move): Promise<void> {
  delete session.routersToldAt
  await catalog.announcements.announceOpen(operation.tenantId, source.epoch).catch(() => undefined)
}

/** The fence is lifted, so nothing was switched and nothing will be by this attempt. */
async function notSwitchedBecause({ move }: Switch, error: unknown): Promise<NotSwitched> {
  await withdraw(move)
  if (isFreeholdError(error, 'verification_failed', 'change_stream_failed', 'key_collision')) {
    return { event: 'given_up', error }
  }
  if (isFreeholdError(error, 'schema_mismatch')) {
    // Whoever verifies again meets it where the move can wait for somebody.
    delete move.session.verifiedBy
    return 'not_switched'
  }
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    noteCalledOff(move, behind(move.settings.fenceExpiryMs))
    return 'not_switched'
  }
  throw error
}

/** It is certain that nothing has been switched: the move may be cancelled again. */
async function withdraw(move: Move): Promise<'not_switched'> {
  await move.catalog.operations.withdrawSwitch(move.lease, move.state)
  await move.barrier('cutover.withdrawn')
  return 'not_switched'
}

async function closeSwitch({ source, lockHolder, target }: Switch): Promise<void> {
  await Promise.all([source.client, lockHolder, target.client].map(closeClient))
}

async function openSwitch(move: Move): Promise<Switch> {
  const source = sourceScope(move)
  const [target, id] = await Promise.all([targetScope(move), targetDatabaseId(move)])
  const connections = await Promise.allSettled([
    connectForSwitch(source.mover, 'freehold-switch'),
    connectForSwitch(source.mover, 'freehold-switch-lock'),
    connectForSwitch(target.mover, 'freehold-switch'),
  ])
  const clients = connections.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const [client, lockHolder, targetClient] = clients
  if (client === undefined || lockHolder === undefined || targetClient === undefined) {
    await Promise.all(clients.map(closeClient))
    throw connections.find((result) => result.status === 'rejected')?.reason
  }
  return {
    move,
    source: { scope: source, client },
    lockHolder,
    target: { scope: target, client: targetClient, id },
  }
}

/** A connection on which statements can follow one another without waiting for answers. */
async function connectForSwitch(address: DatabaseAddress, applicationName: string): Promise<pg.Client> {
  const client = await connectClient(address, applicationName, { pipeline: true })
  await useExactText(client)
  // A plan is made before the fence, or for every comparison anew.
  await client.query('set plan_cache_mode = force_generic_plan')
  return client
}
