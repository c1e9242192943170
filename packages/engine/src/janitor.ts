import type { Catalog } from '@freehold/catalog'
import { describeFailure } from './failure.ts'
import type { Logger } from './logger.ts'
import { releaseResource } from './resources/release.ts'

/**
 * Removes what operations have left behind that ended while a server could not be reached. A running operation's
 * resources are its own business.
 */
export async function removeLeftovers(catalog: Catalog, logger: Logger): Promise<void> {
  for (const entry of await catalog.ledger.unreleased({ finishedOnly: true })) {
    const leftover = {
      operation: entry.operationId,
      kind: entry.kind,
      name: entry.name,
      cluster: entry.clusterId,
    }
    try {
      await releaseResource(catalog, entry)
      logger.info(leftover, 'leftover removed')
    } catch (error) {
      logger.warn({ ...leftover, failure: describeFailure(error) }, 'leftover stays for now')
    }
  }
}
