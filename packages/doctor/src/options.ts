import { FreeholdError } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import { z } from 'zod'

const name = z.string().min(1).max(63)

const optionsSchema = z.strictObject({
  /** The column that says whose a row is; what freehold.managed_table says, or `tenant_id`. */
  tenantColumn: name.optional(),
  /** Schemas to look at; all but the system's and Freehold's own unless set. */
  schemas: z.array(name).default([]),
  /** The role as which the application connects; `freehold_app` where there is the schema `freehold`. */
  appRole: name.optional(),
  /** Tables, `name` or `schema.name`, that hold the same rows for every tenant. */
  referenceTables: z.array(z.string().min(1)).default([]),
  /** Settings that say which tenant is entered; found in the policies unless set. */
  settings: z
    .array(z.string().regex(/^[\w]+(\.\w+)+$/, 'must be the name of a setting of your own: app.tenant_id'))
    .default([]),
  /** Findings that are accepted: `check` or `check=object`. */
  allow: z.array(z.string().min(1)).default([]),
  /**
   * As whom the trial connects: a role that owns the tables, or is a member of their owner, and is no superuser. Code
   * of the inspected database runs as that role. The connection that reads the catalogs will do unless it is too powerful.
   */
  trialAddress: z.custom<DatabaseAddress>((value) => typeof value === 'object' && value !== null).optional(),
  /** False: the catalogs are read and nothing is tried. */
  trial: z.boolean().default(true),
})

export type DoctorOptions = z.input<typeof optionsSchema>
export type DoctorSettings = Readonly<z.output<typeof optionsSchema>>

/** @throws FreeholdError `config_invalid`, naming every wrong option. */
export function parseDoctorOptions(options: DoctorOptions): DoctorSettings {
  const parsed = optionsSchema.safeParse(options)
  if (parsed.success) return Object.freeze(parsed.data)
  const issues = parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }))
  throw new FreeholdError(
    'config_invalid',
    `Wrong options: ${issues.map((issue) => `${issue.path}: ${issue.message}`).join('; ')}.`,
    { issues },
  )
}
