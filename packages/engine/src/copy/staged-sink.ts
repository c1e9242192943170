import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import { from as copyFrom } from 'pg-copy-streams'
import { z } from 'zod'
import { enterAsMover, type TenantScope } from '../database/entered.ts'
import type { RowSink } from './row-sink.ts'

/**
 * Into shared tables, as the tenant: whatever goes wrong, no other tenant's row is touched. PostgreSQL has no COPY through row
 * security, so the rows wait in a temporary table that ends with the transaction. Triggers and foreign keys have had their
 * effect where the rows come from.
 */
export function stagedSink(scope: TenantScope): RowSink {
  return {
    address: scope.mover,
    async open(client, { table, columns, format }) {
      const into = quoteTable(table.table)
      const names = columns.map(quoteIdentifier).join(', ')
      await client.query("set local session_replication_role = 'replica'")
      await enterAsMover(client, scope)
      const made = await client.query('select staged from freehold.stage_rows($1::regclass, $2::text[])', [
        into,
        columns,
      ])
      const { staged } = z.object({ staged: z.string() }).parse(made.rows[0])
      return {
        stream: client.query(copyFrom(`copy ${staged} from stdin (format ${format})`)),
        async finish() {
          const inserted = await client.query(
            `insert into ${into} (${names}) overriding system value select ${names} from ${staged}`,
          )
          return inserted.rowCount ?? 0
        },
      }
    },
  }
}
