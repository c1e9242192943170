import type { Slug, TenantId, TenantStatus } from '@freehold/contract'

/** A tenant in which somebody may act. */
export interface MemberOf {
  readonly tenantId: TenantId
  readonly slug: Slug
  readonly name: string
  /** In the product's words. */
  readonly role: string
  readonly status: TenantStatus
}

/** Who may act in which tenant; the catalog implements it. Always asked anew, so a membership that ended has ended. */
export interface MembershipDirectory {
  /** The tenants in which a person may act, by slug, from the one after `after` on. */
  membershipsOf(
    subject: string,
    page: { readonly after: Slug | null; readonly limit: number },
  ): Promise<readonly MemberOf[]>
  /** @param tenant id or slug. @returns null when the person is no member, or there is no such tenant. */
  membershipIn(tenant: string, subject: string): Promise<MemberOf | null>
}
