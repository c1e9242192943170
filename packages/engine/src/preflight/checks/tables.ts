import type { FindingCode } from '@freehold/contract'
import type { TableFacts } from '../../database/table-facts.ts'
import { tableKey } from '../../database/table-key.ts'
import type { Finding } from '../finding.ts'

/**
 * Whether every table can be moved without losing or exposing rows. The same is checked again by each worker that reads
 * the tables for a move.
 */
export function checkTables(tables: readonly TableFacts[], schema: string): Finding[] {
  const tenantTables = tables.filter(({ kind }) => kind === 'tenant')
  const found = (
    code: FindingCode,
    among: readonly TableFacts[],
    describe: (table: TableFacts) => string,
  ): Finding[] =>
    among.map((table) => ({ code, object: tableKey(table, schema), found: `${describe(table)}.` }))
  return [
    ...found(
      'table_undeclared',
      tables.filter(({ kind }) => kind === null),
      ({ name }) => `${name} is declared neither as a tenant table nor as a reference table`,
    ),
    ...found(
      'tenant_column_missing',
      tenantTables.filter((table) => !table.columns.some(({ name }) => name === table.tenant_column)),
      (table) => `${table.name} has no column ${table.tenant_column}`,
    ),
    ...found(
      'primary_key_unfit',
      tenantTables.filter((table) => !table.primary_key.some(({ name }) => name === table.tenant_column)),
      (table) =>
        `${table.name} has no primary key that includes ${table.tenant_column}, is not deferrable and has no generated column`,
    ),
    ...found(
      'replica_identity_unfit',
      tenantTables.filter(({ replica_identities }) =>
        replica_identities.some((identity) => identity !== 'd' && identity !== 'f'),
      ),
      ({ name }) => `${name} or one of its partitions does not use its primary key as replica identity`,
    ),
    ...found(
      'table_unlogged',
      tenantTables.filter(({ unlogged }) => unlogged),
      ({ name }) => `${name} or one of its partitions is unlogged, so that its changes cannot be followed`,
    ),
    ...found(
      'replica_trigger',
      tenantTables.filter(({ replica_triggers }) => replica_triggers.length > 0),
      ({ name, replica_triggers }) => `${name} has ${replica_triggers.join(', ')}, enabled ALWAYS or REPLICA`,
    ),
    ...found(
      'row_security_off',
      tenantTables.filter(({ guarded }) => !guarded),
      ({ name }) => `${name} or one of its partitions does not enable and force row security`,
    ),
    ...found(
      'sequence_out_of_reach',
      tenantTables.filter(({ hidden_sequences }) => hidden_sequences.length > 0),
      ({ name, hidden_sequences }) =>
        `${name} draws from ${hidden_sequences.join(', ')}, which the mover may not align`,
    ),
  ]
}
