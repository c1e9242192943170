import { quoteLiteral } from '@freehold/postgres'
import type { Check } from '../check.ts'

const DECLARE = 'function freehold.declare_reference_table(regclass)'

export const undeclaredTable: Check = {
  id: 'undeclared-table',
  severity: 'advisory',
  why: 'Nothing says whose its rows are: if they are of tenants, nothing keeps them apart.',
  fix: 'Add the tenant column, or declare it as a reference table: --reference <table>, freehold.declare_reference_table() with Freehold.',
  find: (facts) =>
    facts.tables
      .filter(
        ({ kind, root, rights }) =>
          kind === 'undeclared' && root === null && (facts.hasFreehold || rights.select),
      )
      .map((table) => ({
        object: table.label,
        found: `It has no column ${facts.tenantColumn} and is not declared as a reference table.`,
        // With Freehold such a table also stops every move.
        severity: facts.hasFreehold ? 'blocking' : 'advisory',
        // Declaring it lets every tenant read it: only where that is so already.
        sql:
          facts.freehold?.genuine.has(DECLARE) && table.rights.select
            ? [`select freehold.declare_reference_table(${quoteLiteral(table.sql)});`]
            : [],
      })),
}
