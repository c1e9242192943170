import { FreeholdError } from '@freehold/contract'
import {
  clientConfig,
  type DatabaseAddress,
  type Lsn,
  liftTimeouts,
  parseLsn,
  quoteIdentifier,
  watchSilence,
} from '@freehold/postgres'
import pg from 'pg'
import { useExactText } from '../database/exact-text.ts'

/**
 * Opens a connection in logical replication mode. It takes replication commands and plain SQL without
 * parameters. The caller closes it.
 */
export async function connectReplication(
  address: DatabaseAddress,
  applicationName: string,
): Promise<pg.Client> {
  // `replication` is a startup parameter that pg passes on and its types do not list.
  const config: pg.ClientConfig & { replication: 'database' } = {
    ...clientConfig(address, applicationName),
    replication: 'database',
  }
  const client = new pg.Client(config)
  client.on('error', () => undefined)
  await client.connect()
  await liftTimeouts(client)
  await useExactText(client)
  watchSilence(client, address)
  return client
}

/** A slot just created, with the snapshot of the database at exactly the point where its stream begins. */
export interface CreatedSlot {
  /** The snapshot holds what committed before this position, the stream what committed at it or later. */
  readonly consistentPoint: Lsn
  /** For SET TRANSACTION SNAPSHOT; valid until the connection that created the slot runs its next command. */
  readonly snapshot: string
}

export interface SlotRequest {
  readonly name: string
  /** A temporary slot is gone with the connection. */
  readonly lifetime: 'permanent' | 'temporary'
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Creates a logical replication slot and exports its snapshot. The server waits for every transaction that is writing
 * in any of its databases; when that takes too long, or the signal fires, the connection is cut.
 *
 * @throws FreeholdError `source_busy`, or the reason of the signal.
 */
export async function createSlot(replication: pg.Client, request: SlotRequest): Promise<CreatedSlot> {
  const given = AbortSignal.any([request.signal, AbortSignal.timeout(request.timeoutMs)])
  const cut = () => replication.connection.stream.destroy()
  given.addEventListener('abort', cut, { once: true })
  try {
    return await requestSlot(replication, request)
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason
    if (!given.aborted) throw error
    throw new FreeholdError(
      'source_busy',
      `No replication slot could be created within ${request.timeoutMs / 1000} s.`,
      { cause: error },
    )
  } finally {
    given.removeEventListener('abort', cut)
  }
}

async function requestSlot(replication: pg.Client, { name, lifetime }: SlotRequest): Promise<CreatedSlot> {
  const temporary = lifetime === 'temporary' ? 'TEMPORARY ' : ''
  const result = await replication.query<{ consistent_point: string; snapshot_name: string }>(
    `CREATE_REPLICATION_SLOT ${quoteIdentifier(name)} ${temporary}LOGICAL pgoutput (SNAPSHOT 'export')`,
  )
  const row = result.rows[0]
  if (row === undefined) throw new Error('CREATE_REPLICATION_SLOT returned no row')
  return { consistentPoint: parseLsn(row.consistent_point), snapshot: row.snapshot_name }
}
