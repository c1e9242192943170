import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connectClient, type DatabaseAddress, migrate, quoteIdentifier, withClient } from '@freehold/postgres'

/** A running cluster as far as the kit needs it. */
export interface TestCluster {
  readonly host: string
  readonly port: number
  readonly superuser: { readonly user: string; readonly password: string }
}

export type ClusterRole =
  | 'freehold_owner'
  | 'freehold_mover'
  | 'freehold_app'
  | 'freehold_control'
  | 'freehold_reader'

export const migrationsFolder = (name: 'catalog' | 'data' | 'product') =>
  fileURLToPath(new URL(`../../migrations/${name}`, import.meta.url))

/**
 * Lets `work` have the data migrations of an earlier release.
 *
 * @param firstMissing the number of the first one that it lacks.
 */
export async function withEarlierMigrations<T>(
  firstMissing: number,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'freehold-earlier-'))
  try {
    const names = (await readdir(migrationsFolder('data'))).sort()
    for (const name of names.slice(0, firstMissing - 1)) {
      await cp(join(migrationsFolder('data'), name), join(folder, name))
    }
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** The address of a database of the cluster as its superuser: for set-up and for looking behind row security. */
export function asSuperuser(cluster: TestCluster, database: string): DatabaseAddress {
  return { host: cluster.host, port: cluster.port, database, ...cluster.superuser, tls: 'disable' }
}

/** The address of a database of the cluster as one of Freehold's roles. */
export function asRole(
  cluster: TestCluster,
  passwords: Readonly<Record<ClusterRole, string>>,
  role: ClusterRole,
  database: string,
): DatabaseAddress {
  return {
    host: cluster.host,
    port: cluster.port,
    database,
    user: role,
    password: passwords[role],
    tls: 'disable',
  }
}

/** Creates an empty database of freehold_owner, into which nobody may connect but Freehold's roles. */
export async function createDatabase(cluster: TestCluster, name: string): Promise<void> {
  const database = quoteIdentifier(name)
  await withClient(asSuperuser(cluster, 'postgres'), 'test-kit', async (client) => {
    await client.query(`create database ${database} owner freehold_owner`)
    await client.query(`revoke connect, temporary on database ${database} from public`)
    await client.query(
      `grant connect on database ${database} to freehold_mover, freehold_app, freehold_control, freehold_reader`,
    )
  })
}

/** Creates a data database with the schema `freehold` and, unless told otherwise, the example product's tables. */
export async function createDataDatabase(
  cluster: TestCluster,
  passwords: Readonly<Record<ClusterRole, string>>,
  name: string,
  options: { readonly product: boolean } = { product: true },
): Promise<void> {
  await createDatabase(cluster, name)
  const owner = await connectClient(asRole(cluster, passwords, 'freehold_owner', name), 'test-kit')
  try {
    await migrate(owner, migrationsFolder('data'), 'data')
    if (options.product) await migrate(owner, migrationsFolder('product'), 'product')
  } finally {
    await owner.end()
  }
}

/** Creates the control database with its schema. */
export async function createCatalogDatabase(
  cluster: TestCluster,
  passwords: Readonly<Record<ClusterRole, string>>,
  name = 'freehold_catalog',
): Promise<void> {
  await createDatabase(cluster, name)
  const owner = await connectClient(asRole(cluster, passwords, 'freehold_owner', name), 'test-kit')
  try {
    await migrate(owner, migrationsFolder('catalog'), 'catalog')
  } finally {
    await owner.end()
  }
}
