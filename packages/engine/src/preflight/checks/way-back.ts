import type { ChangeStreamChoice } from '@freehold/contract'
import type { StreamKind } from '../../stream/choose-stream.ts'
import type { ServerFacts } from '../facts/server.ts'
import type { Finding } from '../finding.ts'
import { checkSlotsKept } from './change-stream.ts'

interface Target {
  readonly name: string
  readonly server: Pick<
    ServerFacts,
    'walLevel' | 'slots' | 'senders' | 'slotKeepSize' | 'slotIdleTimeout' | 'roles'
  >
}

/** How the target's changes will be carried back while the rollback window is open, and what is to be known of it. */
export interface WayBack {
  readonly stream: StreamKind
  readonly findings: readonly Finding[]
}

/**
 * Decides how the target's changes will be carried back: by its log where that can be had, by triggers otherwise. Triggers can be
 * had everywhere, so that only a log that was asked for, and is not to be had, is in the way of a rollback window.
 *
 * @param needed slots and senders that are used there at the same time.
 */
export function checkWayBack({ name, server }: Target, choice: ChangeStreamChoice, needed: number): WayBack {
  if (choice === 'triggers') return { stream: 'triggers', findings: [] }
  const lacks = whatLogLacks(server, needed)
  if (choice === 'logical' && lacks.length > 0) {
    const found = `For a rollback window, ${lacks.join(' and ')} on ${name}.`
    const details = { cluster: name }
    return {
      stream: 'logical',
      findings: [{ code: 'rollback_window_unavailable', object: name, found, details }],
    }
  }
  // Who has asked for the log is told of the right by the checks of the roles.
  if (choice === 'auto' && !mayReplicate(server)) lacks.push('the mover may not replicate')
  if (lacks.length === 0) return { stream: 'logical', findings: checkSlotsKept({ name, server }) }
  const found = `The log of ${name} is not to be had for the way back: ${lacks.join(' and ')}.`
  return { stream: 'triggers', findings: [{ code: 'followed_back_by_triggers', object: name, found }] }
}

function whatLogLacks({ walLevel, slots, senders }: Target['server'], needed: number): string[] {
  const lacks = walLevel === 'logical' ? [] : [`wal_level is ${walLevel}`]
  for (const [what, { most, used }] of [
    ['replication slots', slots],
    ['WAL senders', senders],
  ] as const) {
    const left = Math.max(most - used, 0)
    if (left < needed) lacks.push(`${left} of ${most} ${what} are left`)
  }
  return lacks
}

/** A role that is missing is found by other checks. */
function mayReplicate({ roles }: Target['server']): boolean {
  return roles.find(({ name }) => name === 'freehold_mover')?.replication !== false
}
