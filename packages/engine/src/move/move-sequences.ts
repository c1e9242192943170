import { openSequences, pairSequences, readSequences, type SequencePair } from '../database/sequences.ts'
import type { TablePair } from '../database/tables.ts'
import type { Move, Side } from './move.ts'
import { moveTables } from './move-tables.ts'

/**
 * The sequences of both ends that the product may draw from, read once by each worker. Those that the mover may not
 * use yet are opened to it by their owner.
 *
 * @throws FreeholdError `schema_mismatch` when a column draws from one that the target has not.
 */
export async function moveSequences(move: Move): Promise<readonly SequencePair[]> {
  move.session.sequences ??= (await findSequences(move)).pairs
  return move.session.sequences
}

/** Before anything is copied: says which sequences will not go on where they stand. */
export async function checkSequences(move: Move): Promise<void> {
  const { pairs, unaligned } = await findSequences(move)
  move.session.sequences = pairs
  if (unaligned.length === 0) return
  await move.catalog.operations.addEvent(
    move.lease,
    `Not carried over is where these sequences stand, because the target has none of the name or the mover may not use them: ${unaligned.join(', ')}.`,
  )
}

async function findSequences(move: Move) {
  const tables = await moveTables(move)
  const read = (end: keyof TablePair, { owner, schema }: Side) =>
    move.connections.use(owner, async (client) => {
      const listed = tables.map((pair) => pair[end].table)
      return { schema, sequences: await openSequences(client, await readSequences(client, schema, listed)) }
    })
  const [source, target] = await Promise.all([read('source', move.source), read('target', move.target)])
  return pairSequences(source, target)
}
