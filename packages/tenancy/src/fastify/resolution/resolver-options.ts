import { FreeholdError } from '@freehold/contract'
import type { FastifyInstance } from 'fastify'
import type { TenantNames } from './tenant-directory.ts'
import type { TenantSource } from './tenant-source.ts'

/**
 * Checks a list of sources where it is given, and not at the first request that would need what is missing.
 *
 * @throws FreeholdError `config_invalid`
 */
export function prepareSources(
  app: FastifyInstance,
  sources: readonly TenantSource[],
  hasDirectory: boolean,
): void {
  if (sources.length === 0) throw new FreeholdError('config_invalid', 'resolve: name at least one source.')
  for (const source of sources) {
    if (source.needsDirectory && !hasDirectory) {
      throw new FreeholdError('config_invalid', `resolve: ${source.name} needs the option directory.`)
    }
    source.prepare?.(app)
  }
}

/** Stands for the directory where no source needs one. */
export const noNames: TenantNames = {
  tenantOfSlug: missing,
  tenantOfHost: missing,
  apiKey: missing,
}

/** Where a source of the product's own asks for names but says that it needs none. */
async function missing(): Promise<never> {
  throw new FreeholdError('config_invalid', 'resolve: a source asks for names, and there is no directory.')
}
