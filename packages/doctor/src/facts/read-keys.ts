import type { ClientBase } from 'pg'
import type { CheckConstraint, ForeignKey, Index } from './model.ts'

/** Reads the indexes that were made on a table itself, and not on the table that it is a partition of. */
export async function readIndexes(client: ClientBase): Promise<Index[]> {
  const { rows } = await client.query<Index>(
    `select index.indrelid as "table", class.relname as name,
       array(select attribute.attname::text
         from unnest(index.indkey[0:index.indnkeyatts - 1]) with ordinality key (number, position)
         left join pg_attribute attribute
           on attribute.attrelid = index.indrelid and attribute.attnum = key.number and key.number > 0
         order by key.position) as columns,
       index.indisunique as "isUnique", index.indisprimary as "isPrimary",
       index.indisreplident as "isReplicaIdentity",
       (select key.conname from pg_constraint key where key.conindid = index.indexrelid
         and key.contype in ('p', 'u', 'x') limit 1) as constraint,
       index.indpred is not null as "isPartial",
       pg_get_indexdef(index.indexrelid) as definition,
       index.indexrelid::regclass::text as sql
     from pg_index index
     join pg_class class on class.oid = index.indexrelid and not class.relispartition
     where index.indisvalid`,
  )
  return rows
}

const ACTIONS: Readonly<Record<string, string>> = {
  a: 'no action',
  r: 'restrict',
  c: 'cascade',
  n: 'set null',
  d: 'set default',
}

/** Reads foreign keys, each once: not again for every partition. */
export async function readForeignKeys(client: ClientBase): Promise<ForeignKey[]> {
  const names = (keys: string, table: string) => `array(select attribute.attname::text
    from unnest(${keys}) with ordinality key (number, position)
    join pg_attribute attribute on attribute.attrelid = ${table} and attribute.attnum = key.number
    order by key.position)`
  const { rows } = await client.query<ForeignKey>(
    `select conname as name, conrelid as "table", ${names('conkey', 'conrelid')} as columns,
       confrelid as target, ${names('confkey', 'confrelid')} as "targetColumns",
       confdeltype::text as "onDelete", confupdtype::text as "onUpdate",
       condeferrable as "isDeferrable", condeferred as "isDeferred"
     from pg_constraint where contype = 'f' and conparentid = 0`,
  )
  return rows.map((row) => ({
    ...row,
    onDelete: ACTIONS[row.onDelete] ?? 'no action',
    onUpdate: ACTIONS[row.onUpdate] ?? 'no action',
  }))
}

/** Reads CHECK constraints, of tables and of the domains of their columns. */
export async function readCheckConstraints(client: ClientBase): Promise<CheckConstraint[]> {
  const { rows } = await client.query<CheckConstraint>(
    `select conrelid as "table", conname as name,
       array(select attribute.attname::text from pg_attribute attribute
         where attribute.attrelid = conrelid and attribute.attnum = any (conkey)) as columns,
       pg_get_constraintdef(oid) as expression
     from pg_constraint where contype = 'c' and conrelid <> 0
     union all
     select attribute.attrelid, domain_check.conname, array[attribute.attname::text],
       pg_get_constraintdef(domain_check.oid)
     from pg_constraint domain_check
     join pg_attribute attribute on attribute.atttypid = domain_check.contypid
     where domain_check.contype = 'c' and domain_check.contypid <> 0`,
  )
  return rows
}
