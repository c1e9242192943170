import type { Check } from '../check.ts'
import { tenantTablesOf } from './view-not-invoker.ts'

export const matviewReadable: Check = {
  id: 'matview-readable',
  severity: 'blocking',
  why: 'A materialized view holds what its owner saw when it was refreshed, and row security cannot be put on it.',
  fix: 'Take the right to read it from the application, or serve it through a security_barrier view that compares the tenant.',
  find: (facts) =>
    facts.views
      .filter((view) => view.isMaterialized && view.readableByApp && !facts.app.isSuperuser)
      .map((view) => ({ view, tables: tenantTablesOf(facts, view) }))
      .filter(({ tables }) => tables.length > 0)
      .map(({ view, tables }) => ({
        object: view.label,
        found: `${facts.app.name} may read it; it holds rows of ${tables.map(({ label }) => label).join(', ')}.`,
        sql: [`revoke all on ${view.sql} from public, ${facts.app.sql};`],
      })),
}
