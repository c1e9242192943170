import { FreeholdError } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { tenantTables } from '../check.ts'
import { withInspectedDatabase } from '../connect.ts'
import type { Facts } from '../facts/model.ts'
import { readPowers } from '../facts/read-powers.ts'
import { notTried } from './findings.ts'
import { noTrial, type Trial, tryToCross } from './trial.ts'

/**
 * Holds the trial on a connection whose role can do no more than the database's own roles: rows are made, and so the
 * defaults, constraints and triggers of the database run, as whoever is connected. No rollback undoes what a
 * superuser's statement does outside of the database, and no SET ROLE keeps it from that.
 *
 * @param address as whom to try; the connection that read the catalogs unless set.
 * @throws FreeholdError `config_invalid` when the address is another database's.
 */
export async function holdTrial(
  client: ClientBase,
  facts: Facts,
  address: DatabaseAddress | undefined,
  progress: (message: string) => void,
): Promise<Trial> {
  if (tenantTables(facts).length === 0) return noTrial('There is no tenant table.')
  if (address === undefined) return holdOn(client, facts, facts.connectedAs, facts.powers, progress)
  const here = await identify(client)
  return withInspectedDatabase(address, async (other) => {
    const { id, user } = await identify(other)
    if (id !== here.id) {
      throw new FreeholdError('config_invalid', '--trial-url: it is not the address of the same database.')
    }
    return holdOn(other, facts, user, await readPowers(other), progress)
  })
}

async function holdOn(
  client: ClientBase,
  facts: Facts,
  user: string,
  powers: readonly string[],
  progress: (message: string) => void,
): Promise<Trial> {
  if (powers.length > 0) return { ...noTrial(), findings: [refusal(facts, powers)] }
  // Triggers and defaults find what they find for everybody; what the trial itself says is PostgreSQL's own.
  await client.query(
    `select set_config('search_path', 'pg_catalog, ' || coalesce(nullif(reset_val, ''), 'public'), false)
     from pg_settings where name = 'search_path'`,
  )
  return tryToCross(client, { ...facts, connectedAs: user }, progress)
}

function refusal(facts: Facts, powers: readonly string[]) {
  const owner = tenantTables(facts).at(0)?.owner ?? 'owner'
  const { host, port, database } = facts
  return notTried(
    `database ${database}`,
    `${powers.join(', ')}, and the trial runs code of the database: its defaults, constraints and triggers`,
    `Pass the address of a role that may do what the owner of the tables may: --trial-url postgres://${owner}@${host}:${port}/${database} (password in the address, in PGPASSWORD, or --trial-password-ref), or connect as that role in the first place. --no-trial does without.`,
  )
}

/** Which database of which server a connection is with, and as whom. */
async function identify(client: ClientBase): Promise<{ id: string; user: string }> {
  const { rows } = await client.query<{ id: string; user: string }>(
    `select extract(epoch from pg_postmaster_start_time())::text || ' ' || oid::text as id, current_user as user
     from pg_database where datname = current_database()`,
  )
  const [row] = rows
  if (!row) throw new FreeholdError('inspection_failed', 'The server did not say which database it is.')
  return row
}
