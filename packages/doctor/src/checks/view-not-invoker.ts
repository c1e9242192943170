import type { Check } from '../check.ts'
import type { Facts, View } from '../facts/model.ts'
import { tableOf } from '../facts/of-table.ts'

const FIRST_WITH_INVOKER = 150_000

export const viewNotInvoker: Check = {
  id: 'view-not-invoker',
  severity: 'advisory',
  why: "A view reads with its owner's rights: if its owner passes by row security, the view shows the rows of all tenants.",
  fix: 'Make it security_invoker (PostgreSQL 15 and later), so that it reads as whoever asks.',
  find: (facts) =>
    facts.views
      .filter((view) => !view.isMaterialized && !view.isInvoker && view.readableByApp)
      .flatMap((view) => {
        const tables = tenantTablesOf(facts, view)
        if (tables.length === 0) return []
        // Forced row security binds the owner as well, as long as no role that bypasses it owns the view.
        const passesBy =
          view.ownerBypassesRls ||
          tables.some((table) => table.owner === view.owner && !(table.rlsEnabled && table.rlsForced)) ||
          tables.some((table) => !table.rlsEnabled)
        return [
          {
            object: view.label,
            severity: passesBy ? 'blocking' : 'advisory',
            found: `It reads ${tables.map(({ label }) => label).join(', ')} as ${view.owner}${passesBy ? ', who passes by row security' : ''}.`,
            sql:
              facts.serverVersionNumber < FIRST_WITH_INVOKER
                ? []
                : [`alter view ${view.sql} set (security_invoker = true);`],
          },
        ]
      }),
}

export function tenantTablesOf(facts: Facts, view: View) {
  return view.reads
    .map((oid) => tableOf(facts, oid))
    .filter((table) => table !== undefined && table.kind === 'tenant' && table.tenantColumn !== null)
    .filter((table) => table !== undefined)
}
