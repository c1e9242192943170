import { connectClient, quoteLiteral, watchSilence } from '@freehold/postgres'
import type pg from 'pg'
import { asTenant, type TenantScope } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import { type TargetClaim, targetWriters } from '../database/target-claim.ts'
import type { RowSink } from './row-sink.ts'

export interface CopyEnds {
  readonly source: TenantScope
  /** Exported by the slot's creation: the copy holds exactly what the change stream does not. */
  readonly snapshot: string
  readonly claim: TargetClaim
}

/** Connections to either end: what one copy at a time passes through, and what builds on what it has copied. */
export interface CopyStream {
  /** In a transaction that has entered as the tenant and sees the snapshot. */
  readonly source: pg.Client
  /** As many as the sink wants; not all of them are in use when none is copying. */
  readonly writers: readonly [pg.Client, ...pg.Client[]]
  readonly into: RowSink
  readonly claim: TargetClaim
}

/** For each stream; workers that the server adds to a build share it. */
const BUILD_MEMORY = '256MB'

/** Runs `work` with a stream of its own, closed afterwards whatever happens. */
export async function withCopyStream(
  ends: CopyEnds,
  into: RowSink,
  work: (stream: CopyStream) => Promise<void>,
): Promise<void> {
  const { claim } = ends
  const name = targetWriters(claim.stream).copy
  const opened = await Promise.allSettled([
    connectClient(ends.source.mover, name),
    ...Array.from({ length: into.writers }, () => connectClient(into.address, name)),
  ])
  const clients = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  try {
    const failed = opened.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    const [source, first, ...others] = clients
    if (source === undefined || first === undefined) throw new Error('a connection is missing')
    const writers = [first, ...others] as const
    watchSilence(source, ends.source.mover)
    for (const writer of writers) watchSilence(writer, into.address)
    await Promise.all([...writers.map(prepareWriter), useExactText(source)])
    const begin = `begin isolation level repeatable read read only; set transaction snapshot ${quoteLiteral(ends.snapshot)}`
    await asTenant(source, ends.source, () => work({ source, writers, into, claim }), begin)
  } finally {
    await Promise.allSettled(clients.map((client) => client.end()))
  }
}

async function prepareWriter(writer: pg.Client): Promise<void> {
  await useExactText(writer)
  await writer.query(`set maintenance_work_mem = '${BUILD_MEMORY}'`)
}
