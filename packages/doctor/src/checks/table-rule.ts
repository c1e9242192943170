import { quoteIdentifier } from '@freehold/postgres'
import { type Check, tenantTables } from '../check.ts'
import { ofTable } from '../facts/of-table.ts'

export const tableRule: Check = {
  id: 'table-rule',
  severity: 'blocking',
  why: "A rule rewrites every tenant's statements, and what it adds runs with the rights of the table's owner: it copies rows to where no policy is.",
  fix: 'Drop the rule; a trigger does the same as whoever writes.',
  find: (facts) =>
    tenantTables(facts).flatMap((table) =>
      ofTable(facts.rules, table).map(({ name }) => ({
        object: table.label,
        found: `There is the rule ${name}.`,
        sql: [`drop rule ${quoteIdentifier(name)} on ${table.sql};`],
      })),
    ),
}
