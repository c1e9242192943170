import { z } from 'zod'

/** The parameter of every route to one row. */
export const idParams = z.strictObject({ id: z.uuid() })

/** A decimal number as text, so that no digit is lost on the way. */
export const decimal = (integerDigits: number, scale: number) =>
  z
    .string()
    .regex(
      new RegExp(`^\\d{1,${integerDigits}}(\\.\\d{1,${scale}})?$`),
      `must be a decimal number with at most ${scale} digits after the point, as text`,
    )

export const jsonObject = z.record(z.string().max(100), z.json())

/** The fields that a PATCH may carry: any of them, and at least one. */
export const changes = <S extends z.ZodRawShape>(fields: z.ZodObject<S, z.core.$strict>) =>
  fields.partial().refine((body) => Object.keys(body).length > 0, 'must change at least one field')
