import { BlockList, isIP, isIPv6 } from 'node:net'
import { FreeholdError, slugSchema, tenantIdSchema } from '@freehold/contract'
import { absent, named, type SourceOptions, type TenantSource, unknown } from './tenant-source.ts'

export interface HeaderOptions extends SourceOptions {
  /** `x-tenant-id` */
  readonly header: string
  /** Addresses and networks (`10.0.0.0/8`, `fd00::/8`) from which the header is believed. */
  readonly trustedProxies: readonly string[]
  /** Whether the header holds the tenant's id or its slug; the id unless set. */
  readonly holds?: 'id' | 'slug'
  /**
   * Set it only when the proxy has authenticated the sender for the tenant, and removes the header from what others
   * send. Otherwise the header identifies, and authenticates nobody.
   */
  readonly authenticates?: boolean
}

/**
 * The tenant that a trusted proxy names in a header. It is believed only from the socket's own peer, whatever
 * `X-Forwarded-For` and `trustProxy` say. From anybody else its presence is refused, not passed over: a request that
 * tries to choose its tenant must not go on as another one's.
 *
 * @throws FreeholdError `config_invalid`
 */
export function fromHeader(options: HeaderOptions): TenantSource {
  const { trustedProxies, holds = 'id', authenticates = false, required = false } = options
  const header = options.header.toLowerCase()
  if (!/^[a-z0-9-]+$/.test(header)) {
    throw new FreeholdError(
      'config_invalid',
      `header: ${JSON.stringify(header)} is not the name of a header.`,
    )
  }
  const isTrusted = addressCheck(trustedProxies)
  return {
    name: `header ${header}`,
    authenticates,
    required,
    needsDirectory: holds === 'slug',
    async find(request, names) {
      const sent = request.raw.headers[header]
      if (sent === undefined) return absent
      if (!isTrusted(request.socket.remoteAddress)) return unknown('header from an untrusted peer')
      if (holds === 'slug') {
        const slug = slugSchema.safeParse(sent)
        if (!slug.success) return unknown('malformed slug')
        return named(await names.tenantOfSlug(slug.data), 'unknown slug')
      }
      const id = tenantIdSchema.safeParse(sent)
      return named(id.success ? id.data : null, 'malformed id')
    },
  }
}

/** @throws FreeholdError `config_invalid` */
function addressCheck(networks: readonly string[]): (address: string | undefined) => boolean {
  const trusted = new BlockList()
  for (const network of networks) addNetwork(trusted, network)
  return (address) => address !== undefined && trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}

function addNetwork(trusted: BlockList, network: string): void {
  const [address = '', bits, ...rest] = network.split('/')
  const version = isIP(address)
  const longest = version === 6 ? 128 : 32
  const length = bits === undefined ? longest : /^\d{1,3}$/.test(bits) ? Number(bits) : -1
  if (version === 0 || rest.length > 0 || length < 0 || length > longest) {
    throw new FreeholdError(
      'config_invalid',
      `trustedProxies: ${JSON.stringify(network)} is not an address or a network such as 10.0.0.0/8.`,
    )
  }
  trusted.addSubnet(address, length, version === 6 ? 'ipv6' : 'ipv4')
}
