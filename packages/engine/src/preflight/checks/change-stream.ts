import type { ServerFacts } from '../facts/server.ts'
import type { Finding } from '../finding.ts'

interface Source {
  readonly name: string
  readonly server: Pick<ServerFacts, 'walLevel' | 'slots' | 'senders' | 'slotKeepSize' | 'slotIdleTimeout'>
}

/**
 * Whether the source's server can give a change stream by logical decoding. A move that
 * follows its tenant by triggers needs none of it.
 *
 * @param needed slots and senders that a move uses at the same time.
 */
export function checkChangeStream({ name, server }: Source, needed: number): Finding[] {
  const findings: Finding[] = []
  if (server.walLevel !== 'logical') {
    const found = `wal_level is ${server.walLevel} on ${name}.`
    findings.push({ code: 'logical_decoding_off', object: name, found })
  }
  for (const [code, what, { most, used }] of [
    ['slots_exhausted', 'replication slots', server.slots],
    ['senders_exhausted', 'WAL senders', server.senders],
  ] as const) {
    const left = Math.max(most - used, 0)
    if (left >= needed) continue
    const found = `${left} of ${most} ${what} are left on ${name}; a move uses ${needed}.`
    findings.push({ code, object: name, found })
  }
  return [...findings, ...checkSlotsKept({ name, server })]
}

/** Whether the server gives up a slot that is not read for a while. */
export function checkSlotsKept({
  name,
  server,
}: {
  readonly name: string
  readonly server: Pick<ServerFacts, 'slotKeepSize' | 'slotIdleTimeout'>
}): Finding[] {
  const settings = [
    ['max_slot_wal_keep_size', server.slotKeepSize],
    ['idle_replication_slot_timeout', server.slotIdleTimeout],
  ] as const
  return settings
    .filter(([, value]) => value !== null)
    .map(([setting, value]) => ({
      code: 'slot_may_be_lost',
      object: name,
      found: `${setting} is ${value} on ${name}.`,
    }))
}
