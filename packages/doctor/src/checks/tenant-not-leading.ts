import { quoteIdentifier } from '@freehold/postgres'
import { type Check, wholeTenantTables } from '../check.ts'
import type { Facts } from '../facts/model.ts'
import { ofTable } from '../facts/of-table.ts'
import { uniqueWithoutTenant } from './unique-without-tenant.ts'

export const tenantNotLeading: Check = {
  id: 'tenant-not-leading',
  severity: 'advisory',
  why: 'Row security compares the tenant column in every query: without an index that begins with it, each reads the rows of all tenants.',
  fix: 'Let the primary key or another index begin with the tenant column; CREATE INDEX CONCURRENTLY where the table is large.',
  find: (facts) => {
    const mended = mendedKeys(facts)
    return wholeTenantTables(facts)
      .map((table) => ({
        table,
        indexes: ofTable(facts.indexes, table).filter(({ isPartial }) => !isPartial),
      }))
      .filter(({ table, indexes }) => !indexes.some(({ columns }) => columns[0] === table.tenantColumn))
      .map(({ table, indexes }) => ({
        object: table.label,
        found: `No index begins with ${table.tenantColumn}.`,
        // A key that is to begin with it anyway will do.
        sql: indexes.some(
          ({ name, constraint }) => constraint !== null && mended.has(`${table.label}.${name}`),
        )
          ? []
          : [`create index on ${table.sql} (${quoteIdentifier(table.tenantColumn ?? '')});`],
      }))
  },
}

function mendedKeys(facts: Facts): ReadonlySet<string> {
  const found = uniqueWithoutTenant.find(facts).filter(({ sql = [] }) => sql.length > 0)
  return new Set(found.map(({ object }) => object))
}
