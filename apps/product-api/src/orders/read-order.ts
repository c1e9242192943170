import type { Kysely } from 'kysely'
import { jsonArrayFrom } from 'kysely/helpers/postgres'
import { eventColumns, lineColumns, orderColumns } from '../database/columns.ts'
import type { ProductDatabase } from '../database/types.ts'

/** Reads an order with its lines and its timeline, in one statement. */
export const readOrder = (db: Kysely<ProductDatabase>, id: string) =>
  db
    .selectFrom('orders')
    .select(orderColumns)
    .select((eb) => [
      jsonArrayFrom(
        eb
          .selectFrom('order_lines')
          .select(lineColumns)
          .whereRef('order_lines.order_id', '=', 'orders.id')
          .orderBy('line_number'),
      ).as('lines'),
      jsonArrayFrom(
        eb
          .selectFrom('order_events')
          .select(eventColumns)
          .whereRef('order_events.order_id', '=', 'orders.id')
          .orderBy('order_events.occurred_at')
          .orderBy('order_events.id'),
      ).as('events'),
    ])
    .where('orders.id', '=', id)
    .executeTakeFirst()
