import { sql } from 'kysely'
import { type Attempt, attempt } from './attempt.ts'

/** What is written by hand is read by the database alone. */
export const RAW: readonly Attempt[] = [
  attempt('a raw query', (db) => sql`select * from customers`.execute(db)),
  attempt('a raw table', (db) =>
    db.selectFrom(sql<{ marker: string }>`(select marker from customers)`.as('c')).selectAll().execute(),
  ),
  attempt('a name after text', (db) =>
    db
      .selectFrom(sql<{ marker: string }>`only ${sql.table('customers')}`.as('c'))
      .selectAll()
      .execute(),
  ),
  attempt('a raw update', (db) => sql`update orders set status = 'owned'`.execute(db)),
]
