import { z } from 'zod'

/** What the proxy's process is told on its command line. */
export const proxyArgumentsSchema = z.object({
  host: z.string(),
  port: z.int(),
  delayMs: z.number().positive(),
})

/** What it says when it listens. */
export const proxyReadySchema = z.object({ port: z.int() })
