import { openDrizzle } from './drizzle.ts'
import { openFreehold, openFreeholdWithPredicates } from './freehold.ts'
import { openPlain } from './plain.ts'
import { openPrisma } from './prisma/prisma.ts'
import { openSetConfig } from './set-config.ts'
import type { System, SystemName, SystemOptions } from './system.ts'
import { openUsebetterdev } from './usebetterdev.ts'

/** How each system is opened, and the table that is its own. */
export const systems: Readonly<
  Record<SystemName, { readonly table: string; readonly open: (options: SystemOptions) => System }>
> = {
  plain: { table: 'items_plain', open: openPlain },
  freehold: { table: 'items', open: openFreehold },
  'freehold+predicates': { table: 'items_predicates', open: openFreeholdWithPredicates },
  'set-config': { table: 'items_set_config', open: openSetConfig },
  drizzle: { table: 'items_drizzle', open: openDrizzle },
  prisma: { table: 'items_prisma', open: openPrisma },
  usebetterdev: { table: 'items_usebetterdev', open: openUsebetterdev },
}
