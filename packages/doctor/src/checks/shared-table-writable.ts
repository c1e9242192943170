import type { Check } from '../check.ts'
import type { Rights } from '../facts/model.ts'

const WRITES = ['insert', 'update', 'delete'] as const satisfies readonly (keyof Rights)[]

export const sharedTableWritable: Check = {
  id: 'shared-table-writable',
  severity: 'blocking',
  why: 'What one tenant writes there every other reads, and what it deletes is gone for all.',
  fix: 'Take the writing rights from the role of the application, or add the tenant column to the table.',
  find: (facts) =>
    facts.tables
      .filter(({ tenantColumn }) => tenantColumn === null)
      .map((table) => ({ table, writes: WRITES.filter((right) => table.rights[right]) }))
      .filter(({ table, writes }) => writes.length > 0 && !table.rlsEnabled && !facts.app.isSuperuser)
      .map(({ table, writes }) => ({
        object: table.label,
        found: `${facts.app.name} may ${writes.join(', ')} in a table that belongs to no tenant (${table.kind}).`,
        sql: [`revoke ${writes.join(', ')} on ${table.sql} from public, ${facts.app.sql};`],
      })),
}
