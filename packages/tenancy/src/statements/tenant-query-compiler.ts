import { type LimitNode, PostgresQueryCompiler, ValueNode } from 'kysely'

/**
 * PostgreSQL's SQL, with limits written as numbers. Kysely makes them parameters, and to a prepared statement that may
 * return any number of rows PostgreSQL gives a plan for a tenth of the table, or plans it anew each time
 * (`choose_custom_plan` in plancache.c). Offsets stay parameters: they vary from call to call.
 */
export class TenantQueryCompiler extends PostgresQueryCompiler {
  protected override visitLimit(node: LimitNode): void {
    const { limit } = node
    if (ValueNode.is(limit) && typeof limit.value === 'number' && Number.isSafeInteger(limit.value)) {
      this.append(`limit ${limit.value}`)
    } else {
      super.visitLimit(node)
    }
  }
}
