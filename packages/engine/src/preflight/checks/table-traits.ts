import type { FindingCode, Isolation } from '@freehold/contract'
import { tableKey } from '../../database/table-key.ts'
import type { TableTrait } from '../facts/table-traits.ts'
import type { Finding } from '../finding.ts'

type Plain = Exclude<TableTrait['trait'], 'needs_version'>

const FINDINGS: Readonly<
  Record<Plain, { readonly code: FindingCode; readonly found: (table: string, subject: string) => string }>
> = {
  row_trigger: {
    code: 'row_trigger',
    found: (table, trigger) =>
      `Trigger ${trigger} of ${table} fires where a row is written first, and not again.`,
  },
  rule: {
    code: 'table_rule',
    found: (table, rule) => `Rule ${rule} of ${table} applies where a row is written first, and not again.`,
  },
  replica_rule: {
    code: 'replica_rule',
    found: (table, rule) => `${table} has the rule ${rule}, enabled ALWAYS or REPLICA.`,
  },
  inherits: {
    code: 'table_inheritance',
    found: (table, other) => `${table} and ${other} are tied by inheritance that is not partitioning.`,
  },
  key_without_tenant: {
    code: 'key_without_tenant',
    found: (table, index) => `${index} of ${table} lets rows of one tenant exclude rows of another.`,
  },
  default_not_entered: {
    code: 'tenant_column_default',
    found: (table, column) =>
      `${column} of ${table} is not filled in by Freehold when an insert leaves it out.`,
  },
  shared_sequence: {
    code: 'shared_sequence',
    found: (table, sequence) => `${table} draws from ${sequence}, which none of its columns owns.`,
  },
  tied_to_tenant_table: {
    code: 'table_undeclared',
    found: (table, other) =>
      `A foreign key ties ${table}, which cannot be filtered by the tenant, to ${other}.`,
  },
  reference_needs_tenant_table: {
    code: 'reference_needs_tenant_table',
    found: (table, other) => `The reference table ${table} has a foreign key to ${other}, whose rows leave.`,
  },
  reference_out_of_reach: {
    code: 'reference_table_out_of_reach',
    found: (table, role) => `${role} may not lock the reference table ${table}.`,
  },
  reference_large: {
    code: 'reference_table_large',
    found: (table, rows) => `The reference table ${table} has some ${rows} rows.`,
  },
}

/** What matters of reference tables that the target gets a copy of. */
const OF_HELD_REFERENCES: ReadonlySet<TableTrait['trait']> = new Set([
  'reference_out_of_reach',
  'reference_large',
])

/** What is special about the tables. Of reference tables a pool has its own. */
export function checkTableTraits(
  traits: readonly TableTrait[],
  schema: string,
  target: Isolation,
): Finding[] {
  return traits.flatMap(({ trait, schema: of, table, subject }) => {
    if (trait === 'needs_version' || (OF_HELD_REFERENCES.has(trait) && target === 'pool')) return []
    const { code, found } = FINDINGS[trait]
    const key = tableKey({ schema: of, name: table }, schema)
    return [{ code, object: key, found: found(key, subject) }]
  })
}
