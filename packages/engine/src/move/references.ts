import { isDeepStrictEqual } from 'node:util'
import { inTransaction, withClient } from '@freehold/postgres'
import type pg from 'pg'
import type { ClientBase } from 'pg'
import { type Checksum, isEqual, sharedTableChecksums } from '../database/checksum.ts'
import { useExactText } from '../database/exact-text.ts'
import { alignSequencesOf, compareReferences, copyReferences } from '../database/reference-tables.ts'
import { pairTables, readReferenceTables, type TablePair } from '../database/tables.ts'
import { holdTarget, targetWriters } from '../database/target-claim.ts'
import { type ComparedSide, inOneSnapshot } from './compare.ts'
import type { Move, Side } from './move.ts'
import { targetClaim } from './take-target.ts'

/**
 * The reference tables that the target has for the tenant alone, with those of the source; none when the target is a pool,
 * whose own are others' as well.
 *
 * @throws FreeholdError `schema_mismatch` when the two ends differ.
 */
export async function moveReferences(move: Move): Promise<readonly TablePair[]> {
  if (move.target.isolation === 'pool') return []
  move.session.references ??= await readReferences(move)
  return move.session.references
}

async function readReferences({ connections, source, target }: Move): Promise<TablePair[]> {
  const read = ({ mover, schema }: Side) =>
    connections.use(mover, (client) => readReferenceTables(client, schema))
  return pairTables(...(await Promise.all([read(source), read(target)])))
}

/**
 * Makes the target's reference tables what the source's are, where they differ, and remembers what that was.
 *
 * @returns how many rows were looked at, and whether some were changed: then all rows of the tenant are to be compared again, because
 * foreign keys may have followed. Nothing is looked at when the target's are not the tenant's alone.
 * @throws FreeholdError as `copyReferences` does, and `lease_lost`.
 */
export async function bringReferencesInStep(
  move: Move,
  source: ComparedSide,
): Promise<{ readonly tables: number; readonly rows: number; readonly rewritten: boolean }> {
  const pairs = await moveReferences(move)
  let rewritten = false
  const compared = await inOneSnapshot(source, async () => {
    const compared = await move.connections.use(move.target.mover, (target) =>
      inTransaction(target, async () => {
        await useExactText(target)
        return compareReferences(source.client, target, pairs)
      }),
    )
    const different = compared.filter((comparison) => !isEqual(comparison)).map(({ tables }) => tables)
    rewritten = different.length > 0
    if (rewritten) await rewrite(move, source.client, different)
    return compared
  })
  move.session.referencesSeen = compared.map(({ source }) => source)
  return { tables: compared.length, rows: rowsOf(move.session.referencesSeen), rewritten }
}

async function rewrite(move: Move, source: pg.Client, different: readonly TablePair[]): Promise<void> {
  await withClient(move.target.owner, targetWriters(move.names.stream).copy, async (owner) => {
    await useExactText(owner)
    await copyReferences(source, owner, different, () => holdTarget(owner, targetClaim(move)))
    await alignReferenceSequences(move, owner, different)
  })
  const names = different.map(({ source }) => source.key).join(', ')
  await move.catalog.operations.addEvent(
    move.lease,
    `Reference tables of the target are brought in step: ${names}.`,
  )
}

/** Whether the source's reference tables are still what the target's were made. */
export async function areReferencesInStep(
  { session: { references = [], referencesSeen = [] } }: Move,
  source: ClientBase,
): Promise<boolean> {
  const now = await sharedTableChecksums(
    source,
    references.map((pair) => pair.source),
  )
  return isDeepStrictEqual(now, referencesSeen)
}

/** The reference table that takes longest to be compared. */
export function largestReference({ session: { references = [], referencesSeen = [] } }: Move): {
  readonly key: string
  readonly rows: number
} {
  const sizes = references.map(({ source: { key } }, index) => ({
    key,
    rows: referencesSeen[index]?.rows ?? 0,
  }))
  return sizes.reduce((largest, each) => (each.rows > largest.rows ? each : largest), { key: '', rows: -1 })
}

/** Only an owner may see how far the sequences of reference tables are, or set them. */
export async function alignReferenceSequences(
  { connections, source, target }: Move,
  owner: ClientBase,
  references: readonly TablePair[],
): Promise<void> {
  if (references.length === 0) return
  await connections.use(source.owner, (client) =>
    alignSequencesOf(references, { owner: client, schema: source.schema }, { owner, schema: target.schema }),
  )
}

const rowsOf = (checksums: readonly Checksum[]) => checksums.reduce((sum, { rows }) => sum + rows, 0)
