import type { Placement } from '@freehold/contract'

/** `pool`, `silo_acme`, `pool.t_acme`: the database, and the schema where it is the tenant's own. */
export function placeName({ isolation, database, schema }: Omit<Placement, 'dataDatabaseId'>): string {
  return isolation === 'schema' ? `${database}.${schema}` : database
}
