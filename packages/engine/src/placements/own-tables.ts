// What a silo and a schema of the tenant's own have in common: nobody else uses the tables, and there can be others.

import { withClient } from '@freehold/postgres'
import { bareTableSink } from '../copy/row-sink.ts'
import { useExactText } from '../database/exact-text.ts'
import { requireNobodyElse } from '../database/foreign-rows.ts'
import { brokenForeignKey, emptyReferences } from '../database/reference-tables.ts'
import { bareTables } from '../database/structure.ts'
import type { TablePair } from '../database/tables.ts'
import { targetWriters } from '../database/target-claim.ts'
import { type Move, openSide } from '../move/move.ts'
import { nameOfLease } from '../move/names.ts'
import { alignReferenceSequences, moveReferences } from '../move/references.ts'
import { takeTarget } from '../move/take-target.ts'
import { releaseResource } from '../resources/release.ts'
import type { LoadingPlace, TargetPlacement } from './target-placement.ts'

/**
 * A copy that begins anew does so in a place whose name is this lease's own: the earlier worker may still be at work on the
 * old one. Removes what was made for earlier copies.
 */
export async function beginAnew(
  move: Move,
  placement: TargetPlacement,
  named: 'database' | 'schema',
): Promise<void> {
  const { cluster, database, schema, isolation, epoch } = move.target
  const name = nameOfLease(move.target[named], move.lease)
  const isNew = name !== move.target[named]
  // A move that has paused because tables were changed copies anew under the lease that it had.
  if (!isNew && move.state.copyAttempts === 0) return
  if (isNew) {
    const to = { database, schema, [named]: name }
    await move.catalog.operations.retarget(move.lease, to)
    move.target = await openSide(move.catalog, { cluster: cluster.id, isolation, epoch, ...to })
    await move.barrier('provisioning.retargeted')
  }
  const { kind } = placement.entry(move)
  for (const entry of await move.catalog.ledger.unreleased({ operationId: move.operation.id })) {
    if (entry.kind === kind) await releaseResource(move.catalog, entry)
  }
}

/** Loads the tables bare, at the speed of the disk, while they get back what belongs to them. */
export async function loadBare(move: Move, fill: (place: LoadingPlace) => Promise<void>): Promise<void> {
  const { owner: address, schema } = move.target
  await withClient(address, targetWriters(move.names.stream).copy, async (owner) => {
    await takeTarget(move, owner)
    await useExactText(owner)
    const references = await moveReferences(move)
    const makeRoom = async () => {
      const parts = await bareTables(owner, schema)
      await emptyReferences(owner, references)
      return parts
    }
    try {
      await fill({ into: bareTableSink(address), parts: makeRoom() })
    } catch (error) {
      throw brokenForeignKey(error) ?? error
    }
    await alignReferenceSequences(move, owner, references)
  })
}

/** Looks for other tenants' rows. */
export async function inspectOwnTables(move: Move, tables: readonly TablePair[]): Promise<void> {
  await move.connections.use(move.target.owner, (owner) =>
    requireNobodyElse(
      owner,
      tables.map(({ target }) => target),
      move.operation.tenantId,
    ),
  )
}
