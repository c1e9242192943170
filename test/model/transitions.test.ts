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

t.test('every transition of the code is in the model, and every one of the model in the code', async (t) => {
  const model = (await modelTransitions()).map(written)
  const code = movePhases.flatMap((from) =>
    Object.entries(transitions[from]).map(([event, to]) => written({ from, event, to })),
  )
  t.ok(code.length > 0)
  t.same(model.sort(), code.sort())
})

t.test('the model has every phase of the code', async (t) => {
  const known = new Set((await modelTransitions()).flatMap(({ from, to }) => [from, to]))
  t.same(
    movePhases.filter((phase) => !known.has(phase)),
    [],
  )
})

function written({ from, event, to }: Transition): string {
  return `${from} ${event} ${to}`
}

/** The rows TRANSITION(from, event, to) of the model, with the rollback window: without it a move has one of 0 length. */
async function modelTransitions(): Promise<Transition[]> {
  const model = await readFile(MODEL, 'utf8')
  const table = model.slice(model.indexOf('inline advance() {'))
  const [always = '', afterIf = ''] = table.slice(0, table.indexOf('\n}')).split('#ifdef SOAK')
  const [withWindow = ''] = afterIf.split('#else')
  const rows = `${always}${withWindow}`
  return [...rows.matchAll(/TRANSITION\((\w+), (\w+), (\w+)\)/g)].map(
    ([, from = '', event = '', to = '']) => ({
      from,
      event,
      to,
    }),
  )
}
