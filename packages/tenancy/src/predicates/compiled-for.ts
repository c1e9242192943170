import { FreeholdError } from '@freehold/contract'
import type { CompiledQuery, RootOperationNode } from 'kysely'

const TENANT = Symbol('freehold.compiledFor')

/** The query, with a note of the tenant whose id is among its parameters. The note goes along when it is copied. */
export function compiledFor<T extends RootOperationNode>(node: T, tenantId: string): T {
  return Object.assign({}, node, { [TENANT]: tenantId })
}

/**
 * A compiled query can be executed by any instance, and would read the rows of the tenant for whom it was compiled.
 * One that was compiled for nobody, as by `CompiledQuery.raw()`, is raw SQL.
 *
 * @throws FreeholdError `foreign_tenant_id`.
 */
export function assertCompiledFor({ query }: Pick<CompiledQuery, 'query'>, tenantId: string): void {
  if (!(TENANT in query) || query[TENANT] === tenantId) return
  throw new FreeholdError('foreign_tenant_id', 'The query was compiled for another tenant.')
}
