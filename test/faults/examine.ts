import { setTimeout as sleep } from 'node:timers/promises'
import type { Move, MoveDetail, Tenant } from '@freehold/contract'
import { hasSqlState, SQLSTATE, withClient } from '@freehold/postgres'
import type { PreparedCluster } from '../kit/control-plane.ts'
import { asSuperuser } from '../kit/databases.ts'
import { patiently } from '../kit/patiently.ts'
import { tenantContent } from '../kit/tenant-content.ts'
import { contentAt } from '../kit/tenant-places.ts'
import type { WriterReport } from '../kit/tenant-writer.ts'
import { dataDatabases, type FaultGround, inventory } from './fault-ground.ts'

/** The janitor comes round every 15 s, on a machine that has time for it. */
const CLEAN_WITHIN_MS = 120_000
const SCHEMAS = ['freehold', 'public', 'freehold_migrations', 'information_schema']

/** Rows by the bare names of their tables. */
export type Content = Readonly<Record<string, readonly string[]>>

/** What the tenant has, without what its writer has written. */
export async function contentAtHome(ground: FaultGround, tenant: Tenant): Promise<Content> {
  const { cluster, database } = await patiently(() => ground.catalog.placements.home(tenant.id))
  const content = await contentIn(ground.cluster(cluster), database, tenant)
  return Object.fromEntries(
    Object.entries(content).map(([table, rows]) => [
      table,
      rows.filter((row) => !row.includes('@writer.test"')),
    ]),
  )
}

/**
 * Holds what is there after a move against what must be, whatever has happened to it: it was made or it was not (I5), the
 * tenant has one home (I1), with every acknowledged write (I2).
 *
 * @param content of the tenant before the move.
 * @returns what is wrong.
 */
export async function examineTenant(
  ground: FaultGround,
  tenant: Tenant,
  move: MoveDetail,
  content: Content,
  report: WriterReport,
): Promise<string[]> {
  if (move.finishedAt === null) return [`the move is still in ${move.phase}`]
  const home = move.phase === 'completed' ? move.to : move.from
  const placement = await patiently(() => ground.catalog.placements.home(tenant.id))
  const problems: string[] = []
  // Back at its old home a tenant has been switched twice.
  const epoch = move.phase === 'rolled_back' ? home.epoch + 2 : home.epoch
  if (placement.epoch !== epoch || placement.database !== home.database) {
    problems.push(`${move.phase}, and the catalog says that the home is ${placement.database}`)
  }
  const on = ground.cluster(home.cluster)
  return [
    ...problems,
    ...(await report.differences(asSuperuser(on.cluster, home.database), home.schema)),
    ...differences(content, await contentAtHome(ground, tenant)),
    ...(await examineResidency(ground, tenant, on, home.database)),
  ]
}

/**
 * Looks for what is there and belongs neither to a bare cluster nor to a tenant's home (I6). It may go a while later, when
 * the janitor comes round: a server that was away when a move was given up has kept what the move had made there. To be
 * waited for before {@link examineTenant}.
 */
export async function leftBehind(ground: FaultGround): Promise<string[]> {
  const deadline = performance.now() + CLEAN_WITHIN_MS
  for (;;) {
    const left = (await patiently(() => ground.catalog.ledger.unreleased())).map(
      ({ kind, name }) => `ledger: ${kind} ${name}`,
    )
    const homes = await patiently(() => ground.homes())
    for (const [on, bare] of ground.bare) {
      const expected = new Set(bare)
      for (const { cluster, database, schema } of homes) {
        if (ground.cluster(cluster) !== on) continue
        expected.add(`database ${database}`)
        for (const name of [...SCHEMAS, schema]) expected.add(`schema ${database}.${name}`)
      }
      left.push(...(await patiently(() => inventory(on))).filter((part) => !expected.has(part)))
    }
    if (left.length === 0 || performance.now() > deadline) return left
    await sleep(200)
  }
}

/** @returns what is wrong when both ends of a move let the tenant's writers in, at a moment in which its worker stands still (I1). */
export async function openHomes(
  ground: FaultGround,
  { id, tenant }: Pick<Move, 'id' | 'tenant'>,
): Promise<string[]> {
  const { from, to } = await patiently(() => ground.catalog.moves.get(id))
  const states = await Promise.all(
    [from, to].map(({ cluster, database }) =>
      statesIn(ground.cluster(cluster), database, tenant).catch(noneIfGone),
    ),
  )
  const open = states.flat().filter((state) => state === 'active' || state === 'fenced')
  return open.length > 1
    ? [`writers may enter twice: ${states.map((found) => found.join()).join(' and ')}`]
    : []
}

function noneIfGone(error: unknown): string[] {
  if (!hasSqlState(error, SQLSTATE.invalidCatalogName)) throw error
  return []
}

/** @returns which of the tenants that are not moved has other rows than before. */
export async function changedNeighbours({ moving, neighbours }: FaultGround): Promise<string[]> {
  const found = await Promise.all(
    neighbours.map(async ({ tenant, content }) =>
      differences(content, await contentAt(moving, tenant.id, tenant.placement)).map(
        (difference) => `neighbour ${tenant.slug}: ${difference}`,
      ),
    ),
  )
  return found.flat()
}

/** One database takes the tenant's writes, and no other has rows of it. */
async function examineResidency(
  ground: FaultGround,
  tenant: Tenant,
  homeCluster: PreparedCluster,
  homeDatabase: string,
): Promise<string[]> {
  const problems: string[] = []
  for (const on of [ground.us, ground.eu]) {
    for (const database of await patiently(() => dataDatabases(on))) {
      const isHome = on === homeCluster && database === homeDatabase
      const states = await statesIn(on, database, tenant)
      if (states.filter((state) => state !== 'moved').join() !== (isHome ? 'active' : '')) {
        problems.push(`${database}: ${states.join() || 'no resident'}`)
      }
      if (isHome) continue
      const rows = Object.values(await contentIn(on, database, tenant)).flat().length
      if (rows > 0) problems.push(`${database} has ${rows} rows of a tenant that does not live there`)
    }
  }
  return problems
}

async function statesIn(
  on: PreparedCluster,
  database: string,
  tenant: Pick<Tenant, 'id'>,
): Promise<string[]> {
  return patiently(() =>
    withClient(asSuperuser(on.cluster, database), 'test', async (client) => {
      const found = await client.query<{ state: string }>(
        'select state from freehold.resident where tenant_id = $1 order by epoch',
        [tenant.id],
      )
      return found.rows.map(({ state }) => state)
    }),
  )
}

async function contentIn(on: PreparedCluster, database: string, tenant: Tenant): Promise<Content> {
  const content = await tenantContent(asSuperuser(on.cluster, database), tenant.id)
  const byName: Record<string, string[]> = {}
  for (const [table, rows] of Object.entries(content)) {
    const name = table.replace(/^.*\./, '')
    byName[name] = [...(byName[name] ?? []), ...rows]
  }
  return byName
}

function differences(before: Content, after: Content): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((table) => JSON.stringify(before[table]) !== JSON.stringify(after[table]))
    .map((table) => {
      const [was, is] = [before, after].map((content) => content[table]?.length ?? 0)
      return `${table} is not what it was: ${was} rows, now ${is}`
    })
}
