import { z } from 'zod'

/**
 * Identifiers are branded, so that a tenant's id cannot be passed where a move's id is meant. Parse at the
 * edge (HTTP, queue, environment, catalog), trust inside.
 */
export const tenantIdSchema = z
  .string()
  .regex(
    /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|0|[1-9]\d{0,18}|(?!\d+$|(?:[0-9a-f]{4}-?){8}$)[0-9a-z][\w-]{0,63})$/i,
    'must be a UUID, a whole number, or up to 64 letters, digits, hyphens and underscores',
  )
  .refine((id) => id === canonicalTenantId(id), 'must be written in lower case if it is a UUID')
  .brand<'TenantId'>()
/**
 * The value of the tenant column as text: a UUID, a number or a word. One tenant has one spelling: `042` and `{...}`
 * are refused, and so are other spellings of a UUID. The data databases check it against the column's type.
 */
export type TenantId = z.infer<typeof tenantIdSchema>

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** What somebody has typed or sent, with a UUID's capitals made small: the same UUID in PostgreSQL's eyes. */
export function canonicalTenantId(text: string): string {
  return UUID.test(text) ? text.toLowerCase() : text
}

export const operationIdSchema = z.uuid().brand<'OperationId'>()
export type OperationId = z.infer<typeof operationIdSchema>

export const evacuationIdSchema = z.uuid().brand<'EvacuationId'>()
export type EvacuationId = z.infer<typeof evacuationIdSchema>

export const dataDatabaseIdSchema = z.uuid().brand<'DataDatabaseId'>()
export type DataDatabaseId = z.infer<typeof dataDatabaseIdSchema>

/** Text from outside. PostgreSQL stores neither the character NUL nor half of a surrogate pair. */
export const textSchema = z
  .string()
  .refine((text) => text.isWellFormed() && !text.includes('\0'), 'must be text without the character NUL')

/** What tells which tenant is meant, before it is known whether there is one. */
export const tenantReferenceSchema = textSchema.min(1).max(100).describe('Id or slug')

/** Regions, clusters, jurisdictions and tiers are named by people, once, in lower-case words. */
const name = z
  .string()
  .regex(
    /^[a-z][a-z0-9-]{0,39}$/,
    'must be 1 to 40 lower-case letters, digits or hyphens, starting with a letter',
  )

export const slugSchema = name.brand<'Slug'>()
export type Slug = z.infer<typeof slugSchema>

export const regionIdSchema = name.brand<'RegionId'>()
export type RegionId = z.infer<typeof regionIdSchema>

export const jurisdictionSchema = name.brand<'Jurisdiction'>()
export type Jurisdiction = z.infer<typeof jurisdictionSchema>

export const clusterIdSchema = name.brand<'ClusterId'>()
export type ClusterId = z.infer<typeof clusterIdSchema>

export const tierIdSchema = name.brand<'TierId'>()
export type TierId = z.infer<typeof tierIdSchema>

/**
 * The version of a tenant's placement. It only ever grows; a data database refuses entry at any other epoch
 * than its own.
 */
export const epochSchema = z.int().positive().brand<'Epoch'>()
export type Epoch = z.infer<typeof epochSchema>
