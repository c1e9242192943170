import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type FreeholdError, isFreeholdError } from '@freehold/contract'
import { tenantLock, withClient } from '@freehold/postgres'
import {
  activate,
  claimSwitch,
  fence,
  freeze,
  type Resident,
  readResident,
  retire,
  seal,
  unfence,
} from '../../database/resident.ts'
import { findUnenteredWriter, relationsOf } from '../../database/unentered-writers.ts'
import { behind, noteCalledOff } from '../call-off.ts'
import { type Move, sourceScope } from '../move.ts'
import { moveTables } from '../move-tables.ts'
import { drain, isHeldUp } from '../switch/drain.ts'
import { ReferenceHold } from '../switch/reference-hold.ts'
import { rehearse } from '../switch/rehearse.ts'
import {
  closeSwitch,
  homeSwitch,
  impatiently,
  openSwitch,
  type ReadySwitch,
  type Switch,
  streamBack,
} from '../switch/session.ts'
import { targetGone } from '../target-gone.ts'

/**
 * How long those who have waited for the switch are let go first, all at once as they come: connections that are closed, and what the
 * next phase begins with, would have them wait on.
 */
const WAY_MS = 60

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
      await sleep(WAY_MS)
      return 'switched'
    }
    if (move.signal.aborted || move.session.verifiedBy === undefined) return await withdraw(move)
    const tables = await moveTables(move)
    const relations = await relationsOf(
      attempt.lockHolder,
      tables.map(({ source }) => source),
    )
    return await withReferences({ ...attempt, relations })
  } finally {
    await closeSwitch(attempt)
  }
}

async function withReferences(attempt: Omit<ReadySwitch, 'references'>): Promise<SwitchOutcome> {
  const { move } = attempt
  const references = await ReferenceHold.open(move)
  try {
    const ready = { ...attempt, references }
    if (!(await rehearse(ready))) {
      references.end()
      return await withdraw(move)
    }
    await move.barrier('cutover.rehearsed')
    return await attemptSwitch(ready)
  } finally {
    await references.close()
  }
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
  await sleep(WAY_MS)
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
    if (await seal({ client, relations }, source.scope, token)) {
      attempt.references.end()
      return 'sealed'
    }
    const outcome = await liftFence(attempt, token)
    if (!isHeldUp(move, await findUnenteredWriter(source.client, relations)))
      noteCalledOff(move, 'The fence had expired.')
    return outcome
  } catch (error) {
    // Writers go on at once, unless the seal has taken effect without an answer: then only the source knows, and
    // is asked when the step runs again.
    const lifted = await unfence(source.client, source.scope, token).catch(() => false)
    if (!lifted) throw error
    await letWritersGoOn(attempt)
    return notSwitchedBecause(attempt, error)
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
    await sleep(WAY_MS)
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

async function liftFence(attempt: ReadySwitch, token: string): Promise<'not_switched'> {
  const { move, source } = attempt
  await unfence(source.client, source.scope, token)
  await letWritersGoOn(attempt)
  await move.barrier('cutover.unfenced')
  return withdraw(move)
}

/**
 * With the fence goes the lock, which keeps writers out as well. Routers are told that the home is the one that it was; without that they
 * ask a little later. The next attempt is announced anew.
 */
async function letWritersGoOn({ move, lockHolder, references }: ReadySwitch): Promise<void> {
  const { catalog, operation, source, session } = move
  delete session.routersToldAt
  references.end()
  // Together, as where they go on after a switch. A session that is cut has no lock.
  await Promise.all([
    tenantLock.release(lockHolder).catch(() => undefined),
    catalog.announcements.announceOpen(operation.tenantId, source.epoch).catch(() => undefined),
  ])
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
