import { quoteIdentifier } from '@freehold/postgres'
import { type Check, wholeTenantTables } from '../check.ts'

export const tenantColumnNullable: Check = {
  id: 'tenant-column-nullable',
  severity: 'advisory',
  why: 'A row without a tenant belongs to nobody: a policy with `or tenant_id is null` gives it to all, and keys that hold the column do not check it.',
  fix: 'Make the tenant column NOT NULL, after looking at the rows that have none.',
  find: (facts) =>
    wholeTenantTables(facts)
      .filter((table) => table.columns.some(({ name, notNull }) => name === table.tenantColumn && !notNull))
      .map((table) => ({
        object: table.label,
        found: `Column ${table.tenantColumn} may be null.`,
        sql: [
          `alter table ${table.sql} alter column ${quoteIdentifier(table.tenantColumn ?? '')} set not null;`,
        ],
      })),
}
