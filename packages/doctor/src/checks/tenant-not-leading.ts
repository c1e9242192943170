import { quoteIdentifier } from '@freehold/postgres'
import { type Check, wholeTenantTables } from '../check.ts'
import type { Facts, Table } from '../facts/model.ts'
import { uniqueWithoutTenant } from './unique-without-tenant.ts'

export const tenantNotLeading: Check = {
  id: 'tenant-not-leading',
  severity: 'advisory',
  why: 'Row security compares the tenant column in every query: without an index that begins with it, each reads the rows of all tenants.',
  fix: 'Let the primary key or another index begin with the tenant column; CREATE INDEX CONCURRENTLY where the table is large.',
  find: (facts) =>
    wholeTenantTables(facts)
      .filter(
        (table) =>
          !facts.indexes.some(
            (index) =>
              index.table === table.oid && !index.isPartial && index.columns[0] === table.tenantColumn,
          ),
      )
      .map((table) => ({
        object: table.label,
        found: `No index begins with ${table.tenantColumn}.`,
        sql: leadsAfterwards(facts, table)
          ? []
          : [`create index on ${table.sql} (${quoteIdentifier(table.tenantColumn ?? '')});`],
      })),
}

/** Whether a key of the table is to begin with the tenant column anyway, once it is mended. */
function leadsAfterwards(facts: Facts, table: Table): boolean {
  const keys = facts.indexes.filter(
    (index) => index.table === table.oid && index.constraint !== null && !index.isPartial,
  )
  return uniqueWithoutTenant
    .find(facts)
    .some(
      ({ object, sql = [] }) =>
        sql.length > 0 && keys.some(({ name }) => object === `${table.label}.${name}`),
    )
}
