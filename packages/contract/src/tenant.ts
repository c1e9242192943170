import { z } from 'zod'
import {
  jurisdictionSchema,
  operationIdSchema,
  regionIdSchema,
  slugSchema,
  tenantIdSchema,
  textSchema,
  tierIdSchema,
} from './ids.ts'
import { placementRecordSchema, placementSchema } from './placement.ts'

export const tenantStatusSchema = z.enum(['active', 'suspended'])
export type TenantStatus = z.infer<typeof tenantStatusSchema>

export const tenantSchema = z
  .object({
    id: tenantIdSchema,
    slug: slugSchema,
    name: z.string(),
    tier: tierIdSchema,
    status: tenantStatusSchema,
    residency: jurisdictionSchema
      .nullable()
      .describe('The jurisdiction to which the tenant is pinned, if any'),
    placement: placementSchema,
    activeMoveId: operationIdSchema.nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Tenant' })
export type Tenant = z.infer<typeof tenantSchema>

export const tenantDetailSchema = tenantSchema
  .extend({ placements: z.array(placementRecordSchema).describe('Newest first') })
  .meta({ id: 'TenantDetail' })
export type TenantDetail = z.infer<typeof tenantDetailSchema>

export const createTenantSchema = z
  .strictObject({
    id: tenantIdSchema
      .optional()
      .describe('What stands in the tenant column of the product’s rows; a new UUID unless given'),
    slug: slugSchema,
    name: textSchema.trim().min(1, 'must not be empty').max(200, 'must be at most 200 characters long'),
    tier: tierIdSchema.default(tierIdSchema.parse('free')),
    region: regionIdSchema.describe('Region of the pool in which the tenant starts'),
    residency: jurisdictionSchema.nullable().default(null).describe('Pin the tenant to this jurisdiction'),
  })
  .meta({ id: 'CreateTenant' })
export type CreateTenant = z.infer<typeof createTenantSchema>

export const tenantQuerySchema = z.strictObject({
  search: textSchema.trim().max(100).optional().describe('Part of the slug or of the name'),
  own: z
    .stringbool()
    .optional()
    .describe('Only tenants that live in a database or schema of their own, or only others'),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(200).optional().describe('`nextCursor` of the page before'),
})
export type TenantQuery = z.infer<typeof tenantQuerySchema>

export const tenantPageSchema = z
  .object({ items: z.array(tenantSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'TenantPage' })
export type TenantPage = z.infer<typeof tenantPageSchema>
