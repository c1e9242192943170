import { type DatabaseAddress, hasSqlState, isConnectionError, SQLSTATE } from '@freehold/postgres'
import type pg from 'pg'
import type { Connections } from '../kept-connections.ts'
import type { Finding } from './finding.ts'

/** What was read on a server, or why nothing was. */
export type Reached<T> =
  | { readonly facts: T; readonly refusal?: never }
  | { readonly refusal: Finding; readonly facts?: never }

const REFUSED_CONNECTION = [
  SQLSTATE.invalidCatalogName,
  SQLSTATE.invalidPassword,
  SQLSTATE.invalidAuthorization,
  SQLSTATE.insufficientPrivilege,
] as const

/** Reads on a server. One that does not answer, or does not let us in, is a finding like others. */
export async function reach<T>(
  connections: Connections,
  code: 'source_unreachable' | 'target_unreachable' | 'application_locked_out',
  cluster: string,
  address: DatabaseAddress,
  read: (client: pg.Client) => Promise<T>,
): Promise<Reached<T>> {
  try {
    return { facts: await connections.use(address, read) }
  } catch (error) {
    const { host, port, user, database } = address
    const refuse = (found: string) => ({ refusal: { code, object: cluster, found } })
    if (isConnectionError(error)) return refuse(`${host}:${port} does not answer.`)
    if (hasSqlState(error, ...REFUSED_CONNECTION))
      return refuse(`${host}:${port} does not let ${user} into ${database}.`)
    throw error
  }
}
