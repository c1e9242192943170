import { z } from 'zod'

const count = z.int().nonnegative()
const milliseconds = z.number().nonnegative()
const seconds = z.number().nonnegative()

/** What `npm run demo -- --json` ends with. */
export const demoReportSchema = z.strictObject({
  /** Whether every move has completed and the proof holds. */
  ok: z.boolean(),
  moves: z.array(
    z.strictObject({
      tenant: z.string(),
      /** `<cluster>/<database>` */
      from: z.string(),
      to: z.string(),
      /** Copied; changes that were carried over meanwhile come on top. */
      rows: count,
      bytes: count,
      seconds: z.strictObject({ backfill: seconds, verify: seconds, total: seconds }),
      /** The longest time around the switch in which no write (no read) of the tenant was answered, as its clients saw it. */
      writePauseMs: milliseconds,
      readPauseMs: milliseconds,
    }),
  ),
  traffic: z.strictObject({
    requests: count,
    failed: count,
    writesAcknowledged: count,
    /** Acknowledged writes that are not in the tenant's home, or not as they were acknowledged. */
    writesLost: count,
    writesDuplicated: count,
    /** Rows that a tenant was shown, or that stand in a database, that are not its own. */
    foreignRows: count,
  }),
  seconds,
})

export type DemoReport = z.infer<typeof demoReportSchema>
