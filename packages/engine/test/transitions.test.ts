import { readFile } from 'node:fs/promises'
import { movePhases, terminalMovePhases } from '@freehold/contract'
import t from 'tap'
import { isAbortable, type MoveEventKind, transition, transitions } from '../src/move/transitions.ts'

const events = [...new Set(movePhases.flatMap((phase) => Object.keys(transitions[phase])))] as MoveEventKind[]

t.test('the table of docs/protocol.md is the table of the code', async (t) => {
  const inCode = movePhases.flatMap((phase) =>
    Object.entries(transitions[phase]).map(([event, next]) => `${phase} ${event} ${next}`),
  )
  t.same([...(await documentedTransitions())].sort(), inCode.sort())
})

t.test('every other combination is refused', async (t) => {
  for (const phase of movePhases) {
    for (const event of events) {
      const next = transitions[phase][event]
      if (next === undefined) t.throws(() => transition(phase, event), `${phase} cannot take ${event}`)
      else t.equal(transition(phase, event), next)
    }
  }
})

t.test('from the switch on there is no way to give up but by the switch itself', async (t) => {
  t.same(
    movePhases.filter((phase) => isAbortable(phase)),
    ['planned', 'provisioning', 'dual_write', 'backfill', 'verify', 'ready'],
  )
  for (const phase of ['soak', 'finalize', 'rolling_back'] as const) t.notOk('given_up' in transitions[phase])
  for (const phase of terminalMovePhases) t.same(transitions[phase], {})
})

/** The rows `| phase | what | event | next |`; an empty phase repeats the one above, `a to b` stands for a range. */
async function documentedTransitions(): Promise<string[]> {
  const text = await readFile(new URL('../../../docs/protocol.md', import.meta.url), 'utf8')
  const section = text.slice(
    text.indexOf('## States and events'),
    text.indexOf('are terminal and take no event'),
  )
  let from: string[] = []
  return section
    .split('\n')
    .filter((line) => /^\|.*`/.test(line))
    .flatMap((line) => {
      const [phases, , event, next] = line
        .split('|')
        .slice(1, -1)
        .map((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name ?? ''))
      if (phases !== undefined && phases.length > 0) from = phasesBetween(phases)
      return from.map((phase) => `${phase} ${event?.[0]} ${next?.[0]}`)
    })
}

function phasesBetween(named: readonly string[]): string[] {
  const positions = named.map((name) => movePhases.map(String).indexOf(name))
  return movePhases.slice(Math.min(...positions), Math.max(...positions) + 1)
}
