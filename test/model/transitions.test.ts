// The table of the model and the table of the code are the same.

import { readFile } from 'node:fs/promises'
import { movePhases } from '@freehold/contract'
import t from 'tap'
import { transitions } from '../../packages/engine/src/move/transitions.ts'
import { MODEL } from './spin.ts'

interface Transition {
  readonly from: string
  readonly event: string
  readonly to: string
}

const phases = new Set<string>(movePhases)

// The model knows the rollback window, and how a move goes without it. Which of the two holds is up to the phases that
// the code has: with `soak` among them its table must be the one with the window. What leads from or to a phase that
// the code has not is left out, so that each phase, once the code has it, is compared with all that belongs to it.
t.test('every transition of the code is in the model, and every one of the model in the code', async (t) => {
  const model = (await modelTransitions(phases.has('soak')))
    .filter(({ from, to }) => phases.has(from) && phases.has(to))
    .map(written)
  const code = movePhases.flatMap((from) =>
    Object.entries(transitions[from]).map(([event, to]) => written({ from, event, to })),
  )
  t.ok(code.length > 0)
  t.same(model.sort(), code.sort())
})

t.test('the model has every phase of the code', async (t) => {
  const model = [...(await modelTransitions(true)), ...(await modelTransitions(false))]
  const known = new Set(model.flatMap(({ from, to }) => [from, to]))
  t.same(
    movePhases.filter((phase) => !known.has(phase)),
    [],
  )
})

function written({ from, event, to }: Transition): string {
  return `${from} ${event} ${to}`
}

/** The rows TRANSITION(from, event, to) of the model, compiled with or without the window. */
async function modelTransitions(window: boolean): Promise<Transition[]> {
  const model = await readFile(MODEL, 'utf8')
  const table = model.slice(model.indexOf('inline advance() {'))
  const [always = '', afterIf = ''] = table.slice(0, table.indexOf('\n}')).split('#ifdef SOAK')
  const [withWindow, without] = afterIf.split('#else')
  const rows = `${always}${window ? withWindow : without}`
  return [...rows.matchAll(/TRANSITION\((\w+), (\w+), (\w+)\)/g)].map(
    ([, from = '', event = '', to = '']) => ({
      from,
      event,
      to,
    }),
  )
}
