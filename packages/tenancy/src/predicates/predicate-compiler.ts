import type { CompiledQuery, QueryId, RootOperationNode } from 'kysely'
import { TenantQueryCompiler } from '../statements/tenant-query-compiler.ts'
import { compiledFor } from './compiled-for.ts'
import type { TenantPredicates } from './tenant-predicates.ts'

/**
 * Adds the predicates when a query becomes text. One of Kysely's plugins would come before those that product code adds
 * later, would be handed a subquery by itself and then again, not knowing what it is part of, and would be gone with
 * `withoutPlugins()`.
 */
export class PredicateCompiler extends TenantQueryCompiler {
  readonly #predicates: TenantPredicates

  constructor(predicates: TenantPredicates) {
    super()
    this.#predicates = predicates
  }

  override compileQuery(node: RootOperationNode, queryId: QueryId): CompiledQuery {
    const { tenantId } = this.#predicates
    return super.compileQuery(compiledFor(this.#predicates.transform(node), tenantId), queryId)
  }
}
