// The model of the protocol (README.md) keeps every promise in every state that it can reach.

import t from 'tap'
import { type Search, search } from './spin.ts'

// About a minute of one idle core, a fifth of it in the compiler.
t.setTimeout(1_200_000)

interface Run extends Search {
  readonly name: string
}

const RUNS: readonly Run[] = [
  { name: 'a move with a client that writes and an operator', flags: ['WRITES=2', 'CANCEL'] },
  { name: 'a move with two clients that write', flags: ['WRITES=2', 'WRITERS=2'] },
  {
    name: 'a move whose tables are changed under it, with a client that writes, one that reads and an operator',
    flags: ['WRITES=1', 'READERS=1', 'CANCEL', 'SCHEMA_CHANGES'],
  },
  { name: 'a move, its rollback window and its rollback', flags: ['WRITES=2', 'SOAK'] },
  { name: 'the same with a client that reads', flags: ['WRITES=1', 'READERS=1', 'SOAK'] },
  {
    name: 'once nothing goes wrong any more, all ends well, or waits for the catalog',
    flags: ['WRITES=1', 'SOAK', 'CANCEL', 'CALM', 'SILENCE'],
  },
  {
    name: 'and nothing goes on for ever',
    flags: ['WRITES=1', 'SOAK', 'CANCEL', 'CALM'],
    lookFor: 'cycles',
  },
]

for (const { name, ...run } of RUNS) {
  t.test(name, async (t) => {
    const found = await search({ ...run, optimized: true })
    process.stdout.write(`    ${name}: ${found.states} states\n`)
    t.equal(
      found.broken,
      undefined,
      `replay: spin ${run.flags.map((flag) => `-D${flag}`).join(' ')}, see README.md`,
    )
    t.ok(found.exhaustive, 'every state was visited')
    // A promise of what never happens is easily kept.
    const missing = found.unreached.filter((text) => !isOutOfReach(text, run.flags))
    t.same(missing, [], 'every statement of the model and every transition of its table is taken')
  })
}

/** The ends of endless processes, the assertion that the table is total, and readers where there are none. */
function isOutOfReach(text: string, flags: readonly string[]): boolean {
  if (text === '-end-' || text.startsWith('assert((table_is_total||')) return true
  if (text.includes('schema_changed')) return !flags.includes('SCHEMA_CHANGES')
  return text.startsWith('D_STEP') && !flags.some((flag) => flag.startsWith('READERS='))
}

t.test('a search that was cut short is told from one that was not', async (t) => {
  const whole = { flags: ['WRITES=1'] }
  t.equal((await search({ ...whole, maxDepth: 1_000 })).exhaustive, false, 'by its depth')
  t.equal((await search({ ...whole, maxMegabytes: 50 })).exhaustive, false, 'by its memory')
})
