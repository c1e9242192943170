import type { Tenant } from '@freehold/contract'
import { type DatabaseAddress, quoteIdentifier, withClient } from '@freehold/postgres'
import { bareTables } from '../../../packages/engine/src/database/structure.ts'
import { asSuperuser, createDataDatabase } from '../../../test/kit/databases.ts'
import type { MovingGround } from '../../../test/kit/moving-ground.ts'
import { secondsBetween } from '../moving/timed-move.ts'
import { openPsql, type Statement } from './psql.ts'
import { countRows, type TenantTable, tenantTables } from './tenant-tables.ts'

const WITHOUT_TRIGGERS = '-c session_replication_role=replica'

export interface PsqlCopy {
  /** Copying and building. */
  readonly seconds: number
  readonly copySeconds: number
  /** What of the copying goes into starting the programs: the same commands without a row. */
  readonly startSeconds: number
  readonly rows: number
}

/**
 * The baseline: `psql COPY | psql COPY` in binary, one table after the other, into bare tables of a new database, with
 * the keys, foreign keys and indexes built afterwards. Making the database and its tables is not counted.
 *
 * @throws Error when psql fails.
 */
export async function psqlCopy(ground: MovingGround, tenant: Tenant, signal: AbortSignal): Promise<PsqlCopy> {
  const { us, eu } = ground
  const name = 'psql_copy'
  await createDataDatabase(eu.cluster, eu.passwords, name)
  const source = asSuperuser(us.cluster, 'pool')
  const target = asSuperuser(eu.cluster, name)
  const psql = await openPsql(signal)
  try {
    const parts = await withClient(eu.as('freehold_owner', name), 'bench', (owner) =>
      bareTables(owner, 'public'),
    )
    const tables = await tenantTables(source)
    const copyWhere = async (condition: string) => {
      const started = performance.now()
      for (const table of tables) await psql.pipe(...copyPair(table, condition, source, target))
      return secondsBetween(started, performance.now())
    }
    const startSeconds = await copyWhere('false')
    const copySeconds = await copyWhere(`tenant_id = '${tenant.id}'`)
    const copied = performance.now()
    await psql.run(target, ["set maintenance_work_mem = '256MB'", ...parts.map(({ restore }) => restore)])
    const buildSeconds = secondsBetween(copied, performance.now())
    return {
      seconds: copySeconds + buildSeconds,
      copySeconds,
      startSeconds,
      rows: await countRows(target, tables),
    }
  } finally {
    await withClient(asSuperuser(eu.cluster, 'postgres'), 'bench', (client) =>
      client.query(`drop database ${quoteIdentifier(name)} with (force)`),
    )
  }
}

/**
 * The same into the shared, indexed tables of a pool. Foreign keys and triggers are off, as they are for the engine, so that
 * psql does not look up each reference.
 *
 * @throws Error when psql fails.
 */
export async function psqlPoolCopy(
  { us, eu }: MovingGround,
  tenant: Tenant,
  signal: AbortSignal,
): Promise<Pick<PsqlCopy, 'seconds' | 'rows'>> {
  const [source, target] = [asSuperuser(us.cluster, 'pool'), asSuperuser(eu.cluster, 'pool')]
  const psql = await openPsql(signal)
  const tables = await tenantTables(source)
  const own = `tenant_id = '${tenant.id}'`
  const started = performance.now()
  for (const table of tables) await psql.pipe(...copyPair(table, own, source, target), WITHOUT_TRIGGERS)
  const seconds = secondsBetween(started, performance.now())
  const rows = await withClient(target, 'bench', async (client) => {
    await client.query("set session_replication_role = 'replica'")
    let deleted = 0
    for (const { table } of tables) {
      deleted += (await client.query(`delete from ${table} where ${own}`)).rowCount ?? 0
    }
    return deleted
  })
  return { seconds, rows }
}

/** What gives the rows of a table that meet a condition, and what takes them. */
function copyPair(
  { table, columns }: TenantTable,
  condition: string,
  source: DatabaseAddress,
  target: DatabaseAddress,
): [Statement, Statement] {
  return [
    [source, `copy (select ${columns} from ${table} where ${condition}) to stdout (format binary)`],
    [target, `copy ${table} (${columns}) from stdin (format binary)`],
  ]
}
