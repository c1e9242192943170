import { z } from 'zod'

/** viewer: reads; operator: also creates tenants and moves them. */
export const operatorRoleSchema = z.enum(['viewer', 'operator'])
export type OperatorRole = z.infer<typeof operatorRoleSchema>

/** The claims of an operator's token, and the answer of `GET /v1/me`. */
export const operatorSchema = z
  .object({ sub: z.string().min(1).max(200), role: operatorRoleSchema })
  .meta({ id: 'Operator' })
export type Operator = z.infer<typeof operatorSchema>
