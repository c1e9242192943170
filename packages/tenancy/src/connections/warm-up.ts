import pg from 'pg'

const MAX_TABLES = 50
const TIMEOUT_MS = 5_000

/**
 * A session that has just begun knows no table and has run no function: its first statements take several times as long.
 * The entries are refused, because there is no such tenant.
 */
const WARM_UP = `
  do $$
  declare
    relation pg_catalog.regclass;
  begin
    perform pg_catalog.set_config('lock_timeout', '100ms', true);
    for relation in
      select class.oid from pg_catalog.pg_class class
      where class.relkind operator(pg_catalog.=) any (array['r', 'p']::"char"[]) and class.relrowsecurity
        and pg_catalog.pg_table_is_visible(class.oid) and pg_catalog.has_table_privilege(class.oid, 'select')
      limit ${MAX_TABLES}
    loop
      execute pg_catalog.format('select from %s limit 0', relation);
    end loop;
    begin
      perform freehold.enter_reader('');
    exception when others then
    end;
    begin
      perform freehold.enter_writer('', '');
    exception when others then
    end;
  end
  $$`

/**
 * Has a session load what the first statements of a tenant need, before there are any. When the server refuses, the
 * session is as good as it was.
 *
 * @throws Error when there is no answer.
 */
export async function warmUp(client: pg.Client): Promise<void> {
  const asked = { text: WARM_UP, query_timeout: TIMEOUT_MS }
  await client.query(asked).catch((error: unknown) => {
    if (!(error instanceof pg.DatabaseError)) throw error
  })
}
