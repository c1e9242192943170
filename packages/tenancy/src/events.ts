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

/** Work as a tenant begins: a request whose tenant is known now, or {@link runAsTenant}. */
export interface TenantEnteredEvent {
  readonly tenantId: TenantId
}

/** A statement of a tenant has been answered. Neither its text nor its parameters are told. */
export interface StatementEvent {
  readonly tenantId: TenantId
  /** The first keyword in capitals, as `SELECT`; `OTHER` for what is no known command. */
  readonly operation: string
  readonly database: string
  readonly schema: string
  readonly host: string
  readonly port: number
  /** When it was sent, in ms since 1970. */
  readonly startedAt: number
  readonly durationMs: number
  /** Why it failed. */
  readonly error: unknown
}

const held = channel('freehold:held')
const placementChanged = channel('freehold:placement-changed')
const tenantEntered = channel('freehold:tenant-entered')
const statements = channel('freehold:statement')

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

  /** The listener is called inside the tenant's context. @returns how to stop listening. */
  onTenantEntered(listener: (event: TenantEnteredEvent) => void): () => void {
    return listen(tenantEntered, (message) => listener(message as TenantEnteredEvent))
  },

  /** The listener is called in the context of whoever ran the statement. @returns how to stop listening. */
  onStatement(listener: (event: StatementEvent) => void): () => void {
    return listen(statements, (message) => listener(message as StatementEvent))
  },
}

export function publishHeld(event: HeldEvent): void {
  if (held.hasSubscribers) held.publish(event)
}

export function publishPlacementChanged(event: PlacementChangedEvent): void {
  if (placementChanged.hasSubscribers) placementChanged.publish(event)
}

export function publishTenantEntered(event: TenantEnteredEvent): void {
  if (tenantEntered.hasSubscribers) tenantEntered.publish(event)
}

/** Whether somebody wants to know of statements: what it takes to tell is not measured otherwise. */
export function statementsAreObserved(): boolean {
  return statements.hasSubscribers
}

export function publishStatement(event: StatementEvent): void {
  statements.publish(event)
}

function listen(on: typeof held, listener: (message: unknown) => void): () => void {
  on.subscribe(listener)
  return () => void on.unsubscribe(listener)
}
