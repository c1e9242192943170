import type { Isolation } from '@freehold/contract'
import { pool } from './pool.ts'
import { schema } from './schema.ts'
import { silo } from './silo.ts'
import type { TargetPlacement } from './target-placement.ts'

const placements: Record<Isolation, TargetPlacement> = { pool, schema, silo }

/** How a tenant is brought to a target of this isolation. */
export function placementOf(isolation: Isolation): TargetPlacement {
  return placements[isolation]
}
