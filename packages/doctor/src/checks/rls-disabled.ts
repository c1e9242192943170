import { type Check, tenantTables } from '../check.ts'
import { protectSql } from './protect-sql.ts'

export const rlsDisabled: Check = {
  id: 'rls-disabled',
  severity: 'blocking',
  why: 'Every tenant reads and writes the rows of all tenants; only the WHERE clauses of the application are in between.',
  fix: 'Enable and force row security, with a policy on the tenant column.',
  find: (facts) =>
    tenantTables(facts)
      .filter(({ rlsEnabled }) => !rlsEnabled)
      .map((table) => ({
        object: table.label,
        found: `Row security is not enabled${table.root === null ? '' : ' on this partition'}.`,
        sql: protectSql(facts, table),
      })),
}
