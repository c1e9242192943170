import { type Check, tenantTables } from '../check.ts'
import { forceSql } from './protect-sql.ts'

export const rlsNotForced: Check = {
  id: 'rls-not-forced',
  severity: 'blocking',
  why: "The table's owner passes by its policies, and with it every view and SECURITY DEFINER function of that owner.",
  fix: 'Force row security on the table.',
  find: (facts) =>
    tenantTables(facts)
      .filter(({ rlsEnabled, rlsForced }) => rlsEnabled && !rlsForced)
      .map((table) => ({
        object: table.label,
        found: `Row security is enabled and not forced; the owner is ${table.owner}.`,
        sql: [forceSql(table)],
      })),
}
