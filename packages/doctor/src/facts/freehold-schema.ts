import type { ClientBase } from 'pg'
import { FREEHOLD_MANIFEST } from './freehold-manifest.ts'
import {
  type FreeholdGrant,
  type FreeholdObject,
  readFreeholdGrants,
  readFreeholdObjects,
} from './freehold-objects.ts'

const OWNER = 'freehold_owner'

/** What stands in Freehold's schemas, and which of it is what Freehold's migrations make. */
export interface FreeholdSchema {
  readonly objects: readonly FreeholdObject[]
  readonly grants: readonly FreeholdGrant[]
  /** Keys of the objects that are as they should be: `function freehold.lock_key(text)`. */
  readonly genuine: ReadonlySet<string>
}

export async function readFreeholdSchema(client: ClientBase): Promise<FreeholdSchema> {
  const objects = await readFreeholdObjects(client)
  return {
    objects,
    grants: await readFreeholdGrants(client),
    genuine: new Set(
      objects
        .filter((one) => FREEHOLD_MANIFEST.objects[one.key]?.digest === one.digest && hasRightOwner(one))
        .map(({ key }) => key),
    ),
  }
}

/** Histories of migrations belong to whoever migrates first. */
export function hasRightOwner({ key, owner }: FreeholdObject): boolean {
  return owner === OWNER || /^(table|schema) freehold_migrations\b/.test(key)
}

/**
 * Whether a table of the schema `freehold` may be read: by its rights, and because it is what the migrations make. To
 * read from something else of that name, a view for instance, could run somebody's code.
 */
export async function mayRead(client: ClientBase, freehold: FreeholdSchema, table: string): Promise<boolean> {
  if (!freehold.genuine.has(`table freehold.${table}`)) return false
  const { rows } = await client.query<{ may: boolean }>(
    `select has_table_privilege('freehold.' || $1, 'SELECT') as may`,
    [table],
  )
  return rows[0]?.may === true
}
