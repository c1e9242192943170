import { z } from 'zod'

/** blocking: tenants are not kept apart, or nothing proves that they are. advisory: a weakness, or a trap. */
export const doctorSeveritySchema = z.enum(['blocking', 'advisory'])
export type DoctorSeverity = z.infer<typeof doctorSeveritySchema>

/** One thing that a doctor has found in a database. */
export const doctorFindingSchema = z.object({
  check: z.string().describe('The stable id of the check: `rls-disabled`'),
  severity: doctorSeveritySchema,
  object: z.string().describe('What is affected, by name: a table, a role, a function'),
  found: z.string().describe('What is the case'),
  why: z.string().describe('Why that matters'),
  fix: z.string().describe('What to do about it'),
  sql: z.array(z.string()).describe('Statements that mend it; none where SQL cannot'),
})
export type DoctorFinding = z.infer<typeof doctorFindingSchema>

/** What a doctor says about a database. Fields are added to it and never renamed; `version` changes if that breaks. */
export const doctorReportSchema = z.object({
  version: z.literal(1),
  database: z.object({
    host: z.string(),
    port: z.int(),
    name: z.string(),
    serverVersion: z.string(),
    freehold: z.boolean().describe('Whether the database has the schema `freehold`'),
  }),
  connectedAs: z.string(),
  appRole: z.string().describe('The role that is judged: the one as which the application connects'),
  tenantColumn: z.string(),
  tables: z.object({
    tenant: z.array(z.string()),
    reference: z.array(z.string()),
    undeclared: z.array(z.string()),
  }),
  tried: z.object({
    tables: z.array(z.string()).describe('Tables on which two synthetic tenants tried to reach each other'),
    as: z.string().nullable().describe('The role as which they tried; null when nothing was tried'),
    attempts: z.int(),
  }),
  limits: z.array(z.string()).describe('What could not be checked with this connection, and why'),
  findings: z.array(doctorFindingSchema),
  waived: z.array(doctorFindingSchema).describe('Findings that the caller has accepted beforehand'),
  summary: z.object({ blocking: z.int(), advisory: z.int() }),
})
export type DoctorReport = z.infer<typeof doctorReportSchema>
