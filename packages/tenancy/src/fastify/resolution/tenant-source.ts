import type { TenantId } from '@freehold/contract'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { TenantNames } from './tenant-directory.ts'

/** The API key with which a request came. */
export interface RequestApiKey {
  readonly id: string
  readonly scopes: readonly string[]
}

/**
 * What a source finds in a request: nothing, a tenant, or something that should name a tenant and names none.
 * `reason` is for the log; it never reaches the client.
 */
export type Finding =
  | { readonly kind: 'absent' }
  | { readonly kind: 'tenant'; readonly tenantId: TenantId; readonly apiKey?: RequestApiKey }
  | { readonly kind: 'unknown'; readonly reason: string }

/** A part of a request that may say which tenant it is for. */
export interface TenantSource {
  /** As it appears in the log. */
  readonly name: string
  /**
   * Whether what it finds proves that the sender may act for the tenant. A host or a path proves nothing: anybody
   * can send it.
   */
  readonly authenticates: boolean
  /** Whether a request without it is refused. */
  readonly required: boolean
  /** Whether it looks names up in the directory. */
  readonly needsDirectory: boolean
  /** Called once, when the plugin is registered. @throws FreeholdError `config_invalid` */
  prepare?(app: FastifyInstance): void
  /** @throws FreeholdError when it authenticates and what was sent is no good. */
  find(request: FastifyRequest, names: TenantNames): Finding | Promise<Finding>
}

/** What every source can be told. */
export interface SourceOptions {
  /**
   * Refuse requests that do not have it. False unless set: a request may have it or not, but where it has it, it
   * must agree with the others. On routes with `tenant: 'identified'` no credentials are required, whatever this says.
   */
  readonly required?: boolean
}

export const absent: Finding = { kind: 'absent' }

export function unknown(reason: string): Finding {
  return { kind: 'unknown', reason }
}

/** What a name was found to mean. */
export function named(tenantId: TenantId | null, reason: string): Finding {
  return tenantId === null ? unknown(reason) : { kind: 'tenant', tenantId }
}
