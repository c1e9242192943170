import type { FindingCode, FreeholdError, Isolation } from '@freehold/contract'
import type { Move, Side } from './move.ts'
import type { MoveEventKind } from './transitions.ts'

const how: Record<Move['state']['changeStream'], string> = {
  auto: 'Changes are followed',
  logical: "Changes are followed by the source's log",
  triggers: 'Changes are followed by triggers at the source',
}

/** What has been made for the tenant. */
const provisioned: Record<Isolation, (target: Side) => string> = {
  pool: ({ database, cluster }) => `Pool ${database} on cluster ${cluster.id} expects the tenant.`,
  schema: ({ schema, database, cluster }) =>
    `Schema ${schema} is created in pool ${database} on cluster ${cluster.id}.`,
  silo: ({ database, cluster }) => `Database ${database} is created on cluster ${cluster.id}.`,
}

/** What the timeline of a move says about an event; nothing of what it has said already. */
export function describeEvent(
  event: MoveEventKind,
  move: Move,
  error: FreeholdError | undefined,
): string | undefined {
  const { progress, target } = move
  switch (event) {
    case 'preflight_passed':
      return passed(move.session.advice ?? [])
    case 'provisioned':
      return provisioned[target.isolation](target)
    case 'stream_created':
      return `${how[move.state.changeStream]}: from here every write reaches both sides.`
    case 'snapshot_lost':
      return 'The worker that was copying is gone; the copy begins anew.'
    case 'schema_changed':
      return `Paused, because the tables were changed during the move: ${error?.message ?? ''} Resumed, it copies them as they are then.`
    case 'copied':
      return `${progress.current.rowsCopied} rows are copied.`
    case 'verified':
      return `${progress.current.verification?.rows ?? 0} rows are equal on both sides.`
    case 'changes_forgotten':
      return 'What has changed since the verification is not known any more; it is repeated.'
    case 'settled':
      return move.session.calledOff === undefined ? 'The target has caught up; the switch begins.' : undefined
    case 'not_switched':
      return move.direction === 'forth'
        ? notSwitched(move)
        : 'The tenant was not switched back; writes go on at the target.'
    case 'switched':
      return `The target is the tenant's home at epoch ${target.epoch}.`
    case 'window_closed':
      return move.operation.rollbackWindowSeconds === 0
        ? 'The move has no rollback window; the source is removed.'
        : 'The rollback window is closed; the old home is removed.'
    case 'rollback_requested':
      return 'The tenant is to go back to its old home.'
    case 'returned':
      return 'The tenant is back; what was made for the move is removed.'
    case 'purged':
      return "The tenant's rows are removed from the source."
    case 'given_up':
      return `Given up: ${error?.message ?? 'cancelled'}`
    case 'cleaned_up':
      return cleanedUp(move.session.unreached ?? [])
  }
}

/** A switch may be called off many times for the same reason. */
function notSwitched({ session: { calledOff } }: Move): string | undefined {
  if (calledOff === undefined) return 'The switch was not begun; writes go on at the source.'
  if (calledOff.isTold) return undefined
  return `The switch was called off; writes go on at the source. ${calledOff.reason} It is tried again after a wait that grows.`
}

function cleanedUp(unreached: readonly string[]): string {
  const removed =
    unreached.length === 0
      ? 'Everything that the move has made is removed'
      : `What the move has made is removed, but not yet on ${unreached.join(' and ')}, which cannot be reached`
  return `${removed}; the tenant stays where it was.`
}

function passed(advice: readonly FindingCode[]): string {
  return `The checks before the move have passed${advice.length === 0 ? '' : `, with advice: ${advice.join(', ')}`}.`
}
