import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier } from '@freehold/postgres'
import type { Insertable, Kysely } from 'kysely'
import { z } from 'zod'
import type { TenantTransaction } from '../entry/tenant-transaction.ts'
import { withTenantConnection } from './borrowed-connection.ts'
import { type CopyProgress, RowEncoder } from './row-encoder.ts'
import { type TargetNames, targetNames } from './target-names.ts'

export interface CopyIntoOptions {
  /** Called about every 64 KB; what it throws ends the load. */
  readonly onProgress?: (progress: CopyProgress) => void
  /** Ends the load: nothing is loaded then, and the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal
}

/** A row to load: by the names of its columns, where undefined is NULL, or as a tuple in their order. */
export type CopyRow<Row, Columns extends readonly (keyof Row)[]> =
  | { readonly [Column in Columns[number]]: Row[Column] }
  | { readonly [Index in keyof Columns]: Row[Columns[Index]] }

/**
 * Loads rows into a table of the tenant by COPY, several times as fast as multi-row inserts and in bounded memory: rows
 * are taken from the source as fast as the database takes them. All of them are loaded or none; inside a transaction
 * they belong to it, and a load that fails leaves it failed, as any statement does.
 *
 * What an INSERT does happens here too: row security, defaults and generated columns that are not named, constraints,
 * triggers. The tenant column is filled in; where it is named, another tenant's id is refused (SQLSTATE 42501).
 *
 * Values are written as parameters are: arrays as arrays, other objects as JSON, Buffers as bytea. A jsonb column
 * that is to hold an array takes it as JSON text.
 *
 * @returns the rows inserted, and the bytes that were sent.
 * @throws FreeholdError what every statement of the tenant throws; nothing was taken from the source when the tenant
 * could not be entered. `outcome_unknown` when the connection broke at the commit. `invalid_request` for a row with
 * more or fewer values than columns.
 * @throws pg.DatabaseError when the database refused a row; what the source has thrown.
 * @example
 * ```ts
 * const { rows } = await copyInto(db, 'customers', ['id', 'name'], [{ id: 1, name: 'Ada' }, [2, 'Grace']])
 * ```
 */
export function copyInto<
  DB,
  Table extends keyof DB & string,
  const Columns extends readonly (keyof Insertable<DB[Table]> & string)[],
>(
  db: Kysely<DB>,
  table: Table,
  columns: Columns,
  rows:
    | Iterable<CopyRow<Insertable<DB[Table]>, Columns>>
    | AsyncIterable<CopyRow<Insertable<DB[Table]>, Columns>>,
  options: CopyIntoOptions = {},
): Promise<CopyProgress> {
  if (columns.length === 0) return Promise.reject(new FreeholdError('invalid_request', 'Name the columns.'))
  return withTenantConnection(db, async (connection) => {
    const names = targetNames(db, table, columns)
    const encoder = new RowEncoder(columns, options.onProgress)
    options.signal?.throwIfAborted()
    const inserted = await connection.withTransaction(async (transaction) => {
      const stage = await stageFor(transaction, names)
      await transaction.copyIn(`copy ${stage.staged} from stdin`, encoder.encode(rows), options.signal)
      const result = await transaction.executeOwn(insertFrom(stage, names), options.signal)
      options.signal?.throwIfAborted()
      return result.rowCount ?? 0
    })
    return { rows: inserted, bytes: encoder.progress.bytes }
  })
}

/** COPY is refused where there is row security, so it fills a table that lives as long as the transaction. */
const stageSchema = z.object({ staged: z.string(), tenant_column: z.string(), tenant_type: z.string() })
type Stage = z.infer<typeof stageSchema>

async function stageFor(transaction: TenantTransaction, names: TargetNames): Promise<Stage> {
  const { rows } = await transaction.executeOwn({
    text: 'select staged, tenant_column, tenant_type from freehold.stage_rows($1::regclass, $2::text[])',
    values: [names.table, names.columns],
  })
  return stageSchema.parse(rows[0])
}

/** The tenant column's own default would be computed for every row. */
function insertFrom(stage: Stage, names: TargetNames) {
  const columns = names.columns.map((column) => quoteIdentifier(column)).join(', ')
  const filled = names.columns.includes(stage.tenant_column)
  const tenant = filled ? '' : `${quoteIdentifier(stage.tenant_column)}, `
  const value = filled ? '' : `(select freehold.current_tenant())::${stage.tenant_type}, `
  return {
    text: `insert into ${names.table} (${tenant}${columns}) select ${value}${columns} from ${stage.staged}`,
    values: [],
  }
}
