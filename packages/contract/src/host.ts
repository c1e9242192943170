import { z } from 'zod'
import { textSchema } from './ids.ts'

const MAX_LENGTH = 253
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const HOST = new RegExp(`^(?:${LABEL}\\.)+(?!\\d+$)${LABEL}$`)
/** What ends the host of a URL, or would be read as something else than a letter of it. */
const NOT_OF_A_HOST = /[\s/\\?#@:%[\]<>^|]/

/** A domain name as the catalog keeps it: lower case, ASCII, at least two labels, no final dot, no address. */
export const hostSchema = z
  .string()
  .max(MAX_LENGTH)
  .regex(HOST, 'must be a domain name such as shop.example.com')
  .brand<'Host'>()
export type Host = z.infer<typeof hostSchema>

/** A domain name as people write it: capitals, a final dot and other scripts are brought into the kept form. */
export const hostInputSchema = textSchema
  .min(1, 'must not be empty')
  .max(MAX_LENGTH + 1, `must be at most ${MAX_LENGTH} characters long`)
  .transform((text, context) => {
    const host = hostSchema.safeParse(asciiHost(text))
    if (host.success) return host.data
    context.addIssue({ code: 'custom', message: 'must be a domain name such as shop.example.com' })
    return z.NEVER
  })
  .describe('A domain name; other scripts than Latin are kept as xn--')

function asciiHost(text: string): string {
  if (NOT_OF_A_HOST.test(text) || !URL.canParse(`http://${text}`)) return ''
  return new URL(`http://${text}`).hostname.replace(/\.$/, '')
}

export const tenantHostSchema = z
  .object({ id: z.uuid(), host: hostSchema, createdAt: z.iso.datetime() })
  .meta({ id: 'TenantHost' })
export type TenantHost = z.infer<typeof tenantHostSchema>

export const addHostSchema = z.strictObject({ host: hostInputSchema }).meta({ id: 'AddHost' })
export type AddHost = z.infer<typeof addHostSchema>

export const tenantHostPageSchema = z
  .object({ items: z.array(tenantHostSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'TenantHostPage' })
export type TenantHostPage = z.infer<typeof tenantHostPageSchema>
