import { type DatabaseAddress, resolveSecret, type TlsMode } from '@freehold/postgres'

/** How to reach a cluster. The secrets are references (`env:NAME`, `file:/path`), never passwords. */
export interface ClusterAccess {
  readonly host: string
  readonly port: number
  readonly tls: TlsMode
  readonly ownerSecret: string
  readonly moverSecret: string
  readonly appSecret: string
}

/** As freehold_owner: owns databases, schemas and tables; provisions and migrates. */
export function ownerAddress(cluster: ClusterAccess, database: string): Promise<DatabaseAddress> {
  return addressAs('freehold_owner', cluster, cluster.ownerSecret, database)
}

/** As freehold_mover: admits tenants, reads the change stream, copies rows as the tenant it moves. */
export function moverAddress(cluster: ClusterAccess, database: string): Promise<DatabaseAddress> {
  return addressAs('freehold_mover', cluster, cluster.moverSecret, database)
}

/** As freehold_app: what a product's queries run as. */
export function appAddress(
  cluster: Pick<ClusterAccess, 'host' | 'port' | 'tls' | 'appSecret'>,
  database: string,
): Promise<DatabaseAddress> {
  return addressAs('freehold_app', cluster, cluster.appSecret, database)
}

async function addressAs(
  user: string,
  cluster: Pick<ClusterAccess, 'host' | 'port' | 'tls'>,
  secret: string,
  database: string,
): Promise<DatabaseAddress> {
  const { host, port, tls } = cluster
  return { host, port, tls, database, user, password: await resolveSecret(secret) }
}
