import { epochSchema } from '@freehold/contract'
import { z } from 'zod'

/** A bigint of Postgres, which `pg` hands over as text, in the range that a number holds exactly. */
export const bigintRow = z.coerce.number().pipe(z.int())

export const epochRow = bigintRow.pipe(epochSchema)

/** A timestamptz, as ISO 8601 in UTC. */
export const instantRow = z.date().transform((date) => date.toISOString())
