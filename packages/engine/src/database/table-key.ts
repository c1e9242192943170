import { quoteIdentifier, type TableName } from '@freehold/postgres'

/**
 * One name for a table, for maps and messages: bare in the schema where the tenant's tables are. No two tables have the
 * same: a part with a dot in it is quoted.
 */
export function tableKey(table: TableName, home = 'public'): string {
  return table.schema === home ? keyPart(table.name) : `${keyPart(table.schema)}.${keyPart(table.name)}`
}

function keyPart(name: string): string {
  return /[."]/.test(name) ? quoteIdentifier(name) : name
}
