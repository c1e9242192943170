import type { z } from 'zod'

/** Names in a database may hold anything: what a terminal would obey is not passed on. */
export function printable<T extends z.ZodType>(schema: T, value: z.output<T>): z.output<T> {
  const clean = (_key: string, each: unknown) =>
    typeof each === 'string' ? each.replaceAll(/\p{Cc}/gu, '?') : each
  return schema.parse(JSON.parse(JSON.stringify(value), clean))
}
