/** A defect, and what the doctor has to say of it. */
export interface Planted {
  readonly check: string
  readonly sql: string
  readonly object: RegExp
  readonly severity?: 'blocking' | 'advisory'
  /** Further checks that have to notice it. */
  readonly also?: readonly string[]
  /** False: SQL cannot mend it. */
  readonly mended?: false
  readonly appRole?: string
  /** Roles are of the cluster, and not of the copy. */
  readonly undo?: string
}

export const EVERY_TRIAL = [
  'read',
  'copy',
  'update',
  'delete',
  'insert',
  'reassign',
  'upsert',
  'read-without-tenant',
].map((name) => `trial-${name}`)
