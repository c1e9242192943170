import { z } from 'zod'
import {
  clusterIdSchema,
  dataDatabaseIdSchema,
  epochSchema,
  jurisdictionSchema,
  regionIdSchema,
  tierIdSchema,
} from './ids.ts'

/** How a tenant's rows are kept apart, the least first: in shared tables, in a schema of its own, in a database of its own. */
export const isolationSchema = z.enum(['pool', 'schema', 'silo'])
export type Isolation = z.infer<typeof isolationSchema>

/** What a move is: towards more isolation, towards less, or neither. */
export type RelocationKind = 'promotion' | 'demotion' | 'relocation'

export function relocationKind(from: Isolation, to: Isolation): RelocationKind {
  const { options } = isolationSchema
  const difference = options.indexOf(to) - options.indexOf(from)
  return difference > 0 ? 'promotion' : difference < 0 ? 'demotion' : 'relocation'
}

/**
 * Where a promotion or demotion leads unless somebody says so: to what the tenant's tier has, when that is more (or less) than the
 * tenant has now, and else to a silo (or a pool).
 */
export function defaultIsolation(
  kind: Exclude<RelocationKind, 'relocation'>,
  now: Isolation,
  ofTier: Isolation,
): Isolation {
  if (relocationKind(now, ofTier) === kind) return ofTier
  return kind === 'promotion' ? 'silo' : 'pool'
}

/** Where a tenant lives, as people see it. Connection secrets never appear here. */
export const placementSchema = z
  .object({
    isolation: isolationSchema,
    region: regionIdSchema,
    jurisdiction: jurisdictionSchema,
    cluster: clusterIdSchema,
    dataDatabaseId: dataDatabaseIdSchema,
    database: z.string().describe('Name of the Postgres database'),
    schema: z.string(),
    epoch: epochSchema,
  })
  .meta({ id: 'Placement' })
export type Placement = z.infer<typeof placementSchema>

/** A placement that a tenant has or had. */
export const placementRecordSchema = placementSchema
  .extend({
    current: z.boolean(),
    since: z.iso.datetime(),
    until: z.iso.datetime().nullable(),
  })
  .meta({ id: 'PlacementRecord' })
export type PlacementRecord = z.infer<typeof placementRecordSchema>

export const clusterSchema = z
  .object({
    id: clusterIdSchema,
    region: regionIdSchema,
    jurisdiction: jurisdictionSchema,
    capacityBytes: z
      .int()
      .nullable()
      .describe('Bytes of tenant data the cluster may hold; null: not limited'),
    pools: z
      .array(z.string())
      .describe('Pool databases on the cluster by name, the one that was registered last first'),
    silos: z.int().describe('Silo databases on the cluster'),
    maxMoves: z.int().describe('Moves from and to the cluster that may be under way at the same time'),
    movesUnderWay: z.int(),
    drainingSince: z.iso
      .datetime()
      .nullable()
      .describe('Since then the cluster is being emptied: no tenant and no move is placed on it'),
  })
  .meta({ id: 'Cluster' })
export type Cluster = z.infer<typeof clusterSchema>

export const regionSchema = z
  .object({ id: regionIdSchema, jurisdiction: jurisdictionSchema, name: z.string() })
  .meta({ id: 'Region' })
export type Region = z.infer<typeof regionSchema>

export const tierSchema = z
  .object({ id: tierIdSchema, name: z.string(), isolation: isolationSchema })
  .meta({ id: 'Tier' })
export type Tier = z.infer<typeof tierSchema>

export const topologySchema = z
  .object({ regions: z.array(regionSchema), clusters: z.array(clusterSchema), tiers: z.array(tierSchema) })
  .meta({ id: 'Topology' })
export type Topology = z.infer<typeof topologySchema>
