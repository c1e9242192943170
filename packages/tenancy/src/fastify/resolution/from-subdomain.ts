import { slugSchema } from '@freehold/contract'
import { configuredHost, requestHost } from './request-host.ts'
import { absent, named, type SourceOptions, type TenantSource, unknown } from './tenant-source.ts'

export interface SubdomainOptions extends SourceOptions {
  /** `shop.example`, when the tenant `acme` is at `acme.shop.example`. */
  readonly baseDomain: string
  /** Subdomains that are no tenant's: `www`, `api`. */
  readonly except?: readonly string[]
}

/**
 * The tenant whose slug stands before the base domain. It identifies and authenticates nobody. Hosts outside of the
 * base domain, and the base domain itself, say nothing.
 *
 * @throws FreeholdError `config_invalid`
 */
export function fromSubdomain({ baseDomain, except = [], required = false }: SubdomainOptions): TenantSource {
  const suffix = `.${configuredHost('baseDomain', baseDomain)}`
  const reserved = new Set(except.map((label) => label.toLowerCase()))
  return {
    name: 'subdomain',
    authenticates: false,
    required,
    needsDirectory: true,
    async find(request, names) {
      const host = requestHost(request)
      if (host === undefined) return unknown('malformed host')
      if (host === null || !host.endsWith(suffix)) return absent
      const label = host.slice(0, -suffix.length)
      if (reserved.has(label)) return absent
      const slug = slugSchema.safeParse(label)
      if (!slug.success) return unknown('malformed slug')
      return named(await names.tenantOfSlug(slug.data), 'unknown slug')
    },
  }
}
