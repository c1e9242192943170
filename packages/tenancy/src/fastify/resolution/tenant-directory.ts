import type { Host, Slug, TenantId } from '@freehold/contract'
import type { PlacementSource } from '../../placement/placement-source.ts'

/** An API key as the directory knows it: its digest, and not itself. */
export interface KnownApiKey {
  readonly id: string
  readonly tenantId: TenantId
  /** SHA-256 of the whole key. */
  readonly digest: Uint8Array
  readonly scopes: readonly string[]
  readonly expiresAt: Date | null
}

/** What names tenants from outside. */
export interface TenantNames {
  /** @returns null when no tenant has the slug. */
  tenantOfSlug(slug: Slug): Promise<TenantId | null>
  /** @returns null when the host leads to no tenant. */
  tenantOfHost(host: Host): Promise<TenantId | null>
  /** @returns null when there is no such key (any more). */
  apiKey(prefix: string): Promise<KnownApiKey | null>
}

/**
 * What the `freehold` plugin needs to know about names of tenants; the catalog implements it. Changes of a tenant
 * make the plugin ask again; without them it asks again after a minute, and after half a minute for API keys.
 */
export interface TenantDirectory extends TenantNames, Pick<PlacementSource, 'subscribe'> {}
