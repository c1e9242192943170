import type { CompiledQuery, Kysely, QueryExecutorProvider } from 'kysely'
import { statementTraits } from '../statements/statement-traits.ts'
import { withTenantConnectionWhile } from './borrowed-connection.ts'
import { inlineParameters } from './inlined-parameters.ts'

export interface CopyFromOptions {
  /** `csv`, with a line of column names unless `header` is false, or PostgreSQL's own `text`; csv unless set. */
  readonly format?: 'csv' | 'text'
  readonly header?: boolean
  /** Ends it; the reader gets the signal's reason. */
  readonly signal?: AbortSignal
}

/** A query of Kysely, or a raw one. */
export interface CopyableQuery {
  compile(executorProvider: QueryExecutorProvider): CompiledQuery
}

/**
 * Reads what a query returns as CSV or text by COPY, as the tenant: several times as fast as rows, and in bounded
 * memory, because the database sends as fast as it is read. Each chunk ends at the end of a line. A query that is
 * surely a read enters as a reader and locks nothing, so a cutover does not wait for it.
 *
 * It begins with the first chunk. COPY cannot be left half way: to stop reading closes the connection, and inside a
 * transaction loses that.
 *
 * @throws FreeholdError what every statement of the tenant throws; `invalid_request` when the query's text has comments
 * or escapes, because its parameters are written into it.
 * @throws pg.DatabaseError when the query fails, perhaps half way.
 * @example
 * ```ts
 * await pipeline(copyFrom(db, db.selectFrom('orders').selectAll()), createWriteStream('orders.csv'))
 * ```
 */
export function copyFrom<DB>(
  db: Kysely<DB>,
  query: CopyableQuery,
  options: CopyFromOptions = {},
): AsyncGenerator<Buffer, void> {
  return withTenantConnectionWhile(db, (connection) => {
    const statement = connection.statementOf(query.compile(db))
    const text = `copy (${inlineParameters(statement.text, statement.values)}) to stdout with (${format(options)})`
    return connection.streamInTransaction(statementTraits(statement.text).mode, (transaction) =>
      transaction.copyOut(text, statement.text, options.signal),
    )
  })
}

function format({ format = 'csv', header = true }: CopyFromOptions): string {
  return format === 'text' ? 'format text' : `format csv, header ${header}`
}
