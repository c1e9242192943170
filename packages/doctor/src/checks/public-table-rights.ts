import { type Check, tenantTables } from '../check.ts'

export const publicTableRights: Check = {
  id: 'public-table-rights',
  severity: 'advisory',
  why: 'Every role that can connect, now or later, has them, also one that was made for something else.',
  fix: 'Grant rights to the roles that need them.',
  find: (facts) =>
    tenantTables(facts)
      .filter(({ publicRights }) => publicRights)
      .map((table) => ({
        object: table.label,
        found: 'Rights on it are granted to PUBLIC.',
        sql: [`revoke all on ${table.sql} from public;`],
      })),
}
