import { z } from 'zod'
import { type ErrorCode, errorRegistry } from './error-registry.ts'

export const problemIssueSchema = z.object({
  /** Where the refused value stands, as a JSON pointer-like path: `body/slug`. */
  path: z.string(),
  message: z.string(),
})
export type ProblemIssue = z.infer<typeof problemIssueSchema>

/** An RFC 9457 problem document, as every Freehold service answers an error. */
export const problemSchema = z
  .object({
    type: z.string().describe('urn:freehold:error:<code>'),
    title: z.string().describe('What happened, the same for every occurrence of the code'),
    status: z.int(),
    code: z.enum(Object.keys(errorRegistry) as [ErrorCode, ...ErrorCode[]]),
    detail: z.string().describe('What happened this time'),
    next: z.string().describe('What to do next'),
    instance: z.string().optional().describe('The id of the request, as in the log'),
    details: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
    issues: z.array(problemIssueSchema).optional(),
  })
  .meta({ id: 'Problem' })
export type Problem = z.infer<typeof problemSchema>

export const PROBLEM_CONTENT_TYPE = 'application/problem+json'
