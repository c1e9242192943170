import { z } from 'zod'
import { clusterIdSchema, slugSchema, tenantIdSchema } from './ids.ts'

export const syncReferencesSchema = z
  .strictObject({
    dryRun: z.boolean().default(false).describe('Compare, and change nothing'),
  })
  .meta({ id: 'SyncReferences' })

export const referenceSyncSchema = z
  .object({
    tenant: z.object({ id: tenantIdSchema, slug: slugSchema }),
    from: z
      .object({ cluster: clusterIdSchema, database: z.string() })
      .nullable()
      .describe(
        "A pool of the tenant's region; null: the tenant lives in one, and has no reference tables of its own",
      ),
    tables: z.int().describe('How many reference tables were compared'),
    different: z.array(z.string()).describe('Those that differed'),
    synced: z.boolean().describe('Whether they have been made equal'),
  })
  .meta({ id: 'ReferenceSync' })
export type ReferenceSync = z.infer<typeof referenceSyncSchema>
