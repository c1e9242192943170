import { FreeholdError } from '@freehold/contract'
import type pg from 'pg'

const CHECK_TIMEOUT_MS = 5_000

/** By way of the catalogs' indexes: it is asked once a connection, whatever the number of tables. */
const UNSAFE = `
  select exists (
    select from pg_roles role
    where pg_has_role(role.oid, 'member') and (role.rolsuper or role.rolbypassrls or exists (
      select from pg_shdepend owned
      join pg_class relation on relation.oid = owned.objid
      where owned.refclassid = 'pg_authid'::regclass and owned.refobjid = role.oid and owned.deptype = 'o'
        and owned.classid = 'pg_class'::regclass
        and owned.dbid = (select oid from pg_database where datname = current_database())
        and (relation.relrowsecurity or relation.relnamespace = to_regnamespace('freehold'))
    ))
  ) as unsafe`

/**
 * Refuses a session whose role row security does not stop: a superuser, one with BYPASSRLS, the owner of a protected
 * table or of Freehold's own, and whoever is a member of such a role. Everything else that the router does would look
 * the same for it, and show it every tenant's rows.
 *
 * @throws FreeholdError `unsafe_role`
 */
export async function assertSafeRole(client: pg.Client): Promise<void> {
  const asked = { text: UNSAFE, query_timeout: CHECK_TIMEOUT_MS }
  const { rows } = await client.query<{ unsafe: boolean }>(asked)
  if (rows[0]?.unsafe !== false) throw new FreeholdError('unsafe_role')
}
