import type { Check } from '../check.ts'

export const shadowingObject: Check = {
  id: 'shadowing-object',
  severity: 'blocking',
  why: "It has the name of one of PostgreSQL's own and is found first where its arguments match better: statements of others then run it, as themselves.",
  fix: 'Drop it, with whatever was bound to it, and let nobody but the owner create objects there.',
  find: ({ shadows }) =>
    shadows.map(({ label, owner, drop }) => ({
      object: label,
      found: `It is owned by ${owner}, who owns neither the database nor its tables.`,
      sql: drop === null ? [] : [drop],
    })),
}
