import { hostSchema } from '@freehold/contract'
import { configuredHost, requestHost } from './request-host.ts'
import { absent, named, type SourceOptions, type TenantSource, unknown } from './tenant-source.ts'

export interface HostOptions extends SourceOptions {
  /**
   * The product's own hosts, which are no tenant's: `app.shop.example`, or `*.shop.example` for every host below
   * `shop.example`. Needed beside `fromSubdomain`, and for `localhost` and bare addresses.
   */
  readonly except?: readonly string[]
}

/**
 * The tenant to whom the host of the request leads: a custom domain. It identifies and authenticates nobody. A host
 * that leads to no tenant, and is no exception, is refused.
 *
 * @throws FreeholdError `config_invalid`
 */
export function fromHost({ except = [], required = false }: HostOptions = {}): TenantSource {
  const exact = new Set<string>()
  const below: string[] = []
  for (const text of except) {
    if (text.startsWith('*.')) below.push(`.${configuredHost('except', text.slice(2))}`)
    else exact.add(configuredHost('except', text))
  }
  return {
    name: 'host',
    authenticates: false,
    required,
    needsDirectory: true,
    async find(request, names) {
      const host = requestHost(request)
      if (host === undefined) return unknown('malformed host')
      if (host === null || exact.has(host) || below.some((suffix) => host.endsWith(suffix))) return absent
      const custom = hostSchema.safeParse(host)
      if (!custom.success) return unknown('no domain name')
      return named(await names.tenantOfHost(custom.data), 'unknown host')
    },
  }
}
