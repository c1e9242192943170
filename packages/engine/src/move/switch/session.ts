import type { HomeSwitch } from '@freehold/catalog'
import type { DataDatabaseId } from '@freehold/contract'
import { closeClient, connectClient, type DatabaseAddress } from '@freehold/postgres'
import type pg from 'pg'
import type { TenantScope } from '../../database/entered.ts'
import { useExactText } from '../../database/exact-text.ts'
import { hasWindow, type Move, sourceScope, targetDatabaseId, targetScope } from '../move.ts'
import { sourceClaim } from '../take-target.ts'
import type { ReferenceHold } from './reference-hold.ts'

/** The connections of a switch, opened before writers have to wait for anything. */
export interface Switch {
  readonly move: Move
  readonly source: { readonly scope: TenantScope; readonly client: pg.Client }
  /** Holds the exclusive lock from the drain to the seal; when it is cut, the attempt is over. */
  readonly lockHolder: pg.Client
  readonly target: { readonly scope: TenantScope; readonly client: pg.Client; readonly id: DataDatabaseId }
}

/** A switch with what it needs to be rehearsed and made. */
export interface ReadySwitch extends Switch {
  readonly references: ReferenceHold
  /** The tenant's tables at the source, and their partitions. */
  readonly relations: readonly number[]
}

/** @throws what connecting to either side does; nothing is left open then. */
export async function openSwitch(move: Move): Promise<Switch> {
  const source = sourceScope(move)
  const [target, id] = await Promise.all([targetScope(move), targetDatabaseId(move)])
  const connections = await Promise.allSettled([
    connectForSwitch(source.mover, 'freehold-switch'),
    connectForSwitch(source.mover, 'freehold-switch-lock'),
    connectForSwitch(target.mover, 'freehold-switch'),
  ])
  const clients = connections.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const [client, lockHolder, targetClient] = clients
  if (client === undefined || lockHolder === undefined || targetClient === undefined) {
    await Promise.all(clients.map(closeClient))
    throw connections.find((result) => result.status === 'rejected')?.reason
  }
  return {
    move,
    source: { scope: source, client },
    lockHolder,
    target: { scope: target, client: targetClient, id },
  }
}

export async function closeSwitch({ source, lockHolder, target }: Switch): Promise<void> {
  await Promise.all([source.client, lockHolder, target.client].map(closeClient))
}

/** A connection on which statements can follow one another without waiting for answers. */
async function connectForSwitch(address: DatabaseAddress, applicationName: string): Promise<pg.Client> {
  const client = await connectClient(address, applicationName, { pipeline: true })
  await useExactText(client)
  // A plan is made before the fence, or for every comparison anew.
  await client.query('set plan_cache_mode = force_generic_plan')
  return client
}

/**
 * Does what writers wait for. A server that has vanished without closing its connections is not waited for until the
 * network says so: after a fence's time they are broken here, and the step is run again with others.
 */
export async function impatiently<T>(
  { move, source, lockHolder, target }: Switch,
  work: () => Promise<T>,
): Promise<T> {
  const timer = setTimeout(() => {
    for (const client of [source.client, lockHolder, target.client]) client.connection.stream.destroy()
  }, move.settings.fenceExpiryMs)
  try {
    return await work()
  } finally {
    clearTimeout(timer)
  }
}

/** What the catalog is to be told. */
export const homeSwitch = ({ move: { operation, source, target }, target: { id } }: Switch): HomeSwitch => ({
  tenantId: operation.tenantId,
  fromEpoch: source.epoch,
  toEpoch: target.epoch,
  dataDatabaseId: id,
  isolation: target.isolation,
  schema: target.schema,
})

/** What will carry the target's changes back, when the move may be rolled back. */
export const streamBack = (move: Move) => (hasWindow(move) ? sourceClaim(move) : undefined)
