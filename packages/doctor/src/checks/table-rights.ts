import { type Check, tenantTables } from '../check.ts'
import type { Rights } from '../facts/model.ts'

const DANGEROUS = ['truncate', 'references', 'trigger'] as const satisfies readonly (keyof Rights)[]

export const tableRights: Check = {
  id: 'app-role-table-rights',
  severity: 'blocking',
  why: "Row security does not apply to them: TRUNCATE empties the table for all tenants, REFERENCES tells which keys exist, a trigger sees and changes everybody's rows.",
  fix: 'Grant SELECT, INSERT, UPDATE and DELETE by name, never ALL.',
  find: (facts) =>
    facts.app.isSuperuser
      ? []
      : tenantTables(facts)
          .filter(({ owner }) => owner !== facts.app.name)
          .map((table) => ({ table, rights: DANGEROUS.filter((right) => table.rights[right]) }))
          .filter(({ rights }) => rights.length > 0)
          .map(({ table, rights }) => ({
            object: table.label,
            found: `${facts.app.name} has ${rights.join(', ').toUpperCase()}.`,
            sql: [`revoke ${rights.join(', ')} on ${table.sql} from public, ${facts.app.sql};`],
          })),
}
