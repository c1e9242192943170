import type { ClientBase } from 'pg'
import { z } from 'zod'

const databaseFactsSchema = z.object({
  extensions: z.array(
    z.object({
      name: z.string(),
      /** Whether an object that belongs to no extension depends on it. */
      needed: z.boolean(),
    }),
  ),
  largeObjects: z.int(),
  eventTriggers: z.array(z.string()),
  /** Whether its schema `freehold` has what a move writes there. */
  isUpToDate: z.boolean(),
})
/** The database in which the tenant lives. */
export type DatabaseFacts = z.infer<typeof databaseFactsSchema>

/** The newest thing that a move writes there. */
const IS_UP_TO_DATE = `exists (select from pg_attribute
  where attrelid = to_regclass('freehold.resident') and attname = 'left_at' and not attisdropped)`

const DATABASE_SQL = `
  with members as (
    select refobjid as extension, classid, objid from pg_depend
    where refclassid = 'pg_extension'::regclass and deptype = 'e'
  )
  select jsonb_build_object(
    'extensions', (select coalesce(jsonb_agg(jsonb_build_object('name', extname, 'needed', exists (
        select from members
        join pg_depend use on (use.refclassid, use.refobjid) = (members.classid, members.objid) and use.deptype = 'n'
        where members.extension = pg_extension.oid
          and (use.classid, use.objid) not in (select classid, objid from members)
      )) order by extname), '[]') from pg_extension),
    'largeObjects', (select count(*) from pg_largeobject_metadata),
    'eventTriggers', (select coalesce(jsonb_agg(evtname order by evtname), '[]') from pg_event_trigger
      where evtenabled <> 'D'),
    'isUpToDate', ${IS_UP_TO_DATE}
  ) as facts`

export async function readDatabase(client: ClientBase): Promise<DatabaseFacts> {
  const result = await client.query<{ facts: unknown }>(DATABASE_SQL)
  return databaseFactsSchema.parse(result.rows[0]?.facts)
}

/** Whether the schema `freehold` of a database has what a move writes there. */
export async function isUpToDate(client: ClientBase): Promise<boolean> {
  const result = await client.query(`select where ${IS_UP_TO_DATE}`)
  return result.rowCount === 1
}
