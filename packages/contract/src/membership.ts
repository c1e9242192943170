import { z } from 'zod'
import { textSchema } from './ids.ts'

/** The claim `sub` of a person's tokens. */
export const subjectSchema = textSchema
  .min(1, 'must not be empty')
  .max(255, 'must be at most 255 characters long')

/** What a person is in a tenant, in the product's words. */
export const memberRoleSchema = z
  .string()
  .regex(
    /^[a-z][a-z0-9-]{0,39}$/,
    'must be 1 to 40 lower-case letters, digits or hyphens, starting with a letter',
  )

export const membershipSchema = z
  .object({
    id: z.uuid(),
    subject: z.string().describe("The claim sub of the person's tokens"),
    role: memberRoleSchema,
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Membership' })
export type Membership = z.infer<typeof membershipSchema>

export const addMembershipSchema = z
  .strictObject({ subject: subjectSchema, role: memberRoleSchema })
  .meta({ id: 'AddMembership' })
export type AddMembership = z.infer<typeof addMembershipSchema>

export const membershipPageSchema = z
  .object({ items: z.array(membershipSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'MembershipPage' })
export type MembershipPage = z.infer<typeof membershipPageSchema>
