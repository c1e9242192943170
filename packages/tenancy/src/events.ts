import { channel } from 'node:diagnostics_channel'
import type { DataDatabaseId, TenantId } from '@freehold/contract'

/** A request of a tenant waited, holding no connection, because the tenant's writers were held for a cutover. */
export interface HeldEvent {
  readonly tenantId: TenantId
  readonly heldMs: number
  /** False when the deadline came first. */
  readonly released: boolean
}

/** The router has learned that a tenant lives somewhere else now. */
export interface PlacementChangedEvent {
  readonly tenantId: TenantId
  readonly from: { readonly dataDatabaseId: DataDatabaseId; readonly epoch: number }
  readonly to: { readonly dataDatabaseId: DataDatabaseId; readonly epoch: number }
}

const held = channel('freehold:held')
const placementChanged = channel('freehold:placement-changed')

/**
 * What the router tells about itself, through `node:diagnostics_channel`; costs nothing while nobody listens.
 *
 * @example
 * ```ts
 * const stop = routerEvents.onHeld((event) => histogram.observe(event.heldMs))
 * ```
 */
export const routerEvents = {
  /** @returns how to stop listening. */
  onHeld(listener: (event: HeldEvent) => void): () => void {
    return listen(held, (message) => listener(message as HeldEvent))
  },

  /** @returns how to stop listening. */
  onPlacementChanged(listener: (event: PlacementChangedEvent) => void): () => void {
    return listen(placementChanged, (message) => listener(message as PlacementChangedEvent))
  },
}

export function publishHeld(event: HeldEvent): void {
  if (held.hasSubscribers) held.publish(event)
}

export function publishPlacementChanged(event: PlacementChangedEvent): void {
  if (placementChanged.hasSubscribers) placementChanged.publish(event)
}

function listen(on: typeof held, listener: (message: unknown) => void): () => void {
  on.subscribe(listener)
  return () => void on.unsubscribe(listener)
}
