import { REPLICATION_CONNECTIONS } from '../estimate.ts'
import type { ServerFacts } from '../facts/server.ts'
import type { Finding } from '../finding.ts'
import { checkSlotsKept } from './change-stream.ts'

interface Target {
  readonly name: string
  readonly server: Pick<ServerFacts, 'walLevel' | 'slots' | 'senders' | 'slotKeepSize' | 'slotIdleTimeout'>
}

/** Whether the target's server can give the stream that carries changes back while the rollback window is open. */
export function checkWayBack({ name, server }: Target): Finding[] {
  const lacks: string[] = []
  if (server.walLevel !== 'logical') lacks.push(`wal_level is ${server.walLevel}`)
  for (const [what, { most, used }] of [
    ['replication slots', server.slots],
    ['WAL senders', server.senders],
  ] as const) {
    const left = Math.max(most - used, 0)
    if (left < REPLICATION_CONNECTIONS) lacks.push(`${left} of ${most} ${what} are left`)
  }
  if (lacks.length === 0) return checkSlotsKept({ name, server })
  const found = `For a rollback window, ${lacks.join(' and ')} on ${name}.`
  return [{ code: 'rollback_window_unavailable', object: name, found, details: { cluster: name } }]
}
