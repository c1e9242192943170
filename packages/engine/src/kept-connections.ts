import type { Lease } from '@freehold/catalog'
import {
  closeClient,
  connectClient,
  type DatabaseAddress,
  formatDatabaseUrl,
  withClient,
} from '@freehold/postgres'
import type pg from 'pg'
import { connectionName, endFormerConnections } from './database/former-connections.ts'

/** A server that has vanished is noticed by this, and connected to anew. */
const ANSWER_TIMEOUT_MS = 1_000

/** Where connections for short work are to be had. */
export interface Connections {
  /** Runs `work` with a connection that nobody else uses meanwhile. One on which it throws is closed. */
  use<T>(address: DatabaseAddress, work: (client: pg.Client) => Promise<T>): Promise<T>
}

/** Each work has a connection of its own, closed afterwards. */
export function freshConnections(applicationName: string): Connections {
  return { use: (address, work) => withClient(address, applicationName, work) }
}

/**
 * A worker's connections for a move, kept between its steps: to connect takes longer than most of what is asked, and a new
 * session knows no table yet. They are for work that ends with nothing open and nothing set that others would not expect.
 * What a claim or a lock depends on has a session of its own.
 *
 * Those of a lease carry its name. Whoever connects under a newer lease of the same operation ends them first: a worker that
 * stands still in the middle of a statement, or of a transaction, would keep its locks for ever.
 */
export class KeptConnections implements Connections {
  readonly #idle = new Map<string, Set<pg.Client>>()
  readonly #lease: Lease | undefined

  constructor(lease?: Lease) {
    this.#lease = lease
  }

  async use<T>(address: DatabaseAddress, work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = (await takeAlive(this.#idleAt(address))) ?? (await this.#connect(address))
    let result: T
    try {
      result = await work(client)
    } catch (error) {
      await closeClient(client)
      throw error
    }
    this.#idleAt(address).add(client)
    return result
  }

  /** Closes those that nobody uses; whoever comes later connects anew. */
  async close(): Promise<void> {
    const clients = [...this.#idle.values()].flatMap((idle) => [...idle])
    this.#idle.clear()
    await Promise.all(clients.map(closeClient))
  }

  async #connect(address: DatabaseAddress): Promise<pg.Client> {
    const lease = this.#lease
    const client = await connectClient(address, lease ? connectionName('move', lease) : 'freehold-plan')
    try {
      if (lease) await endFormerConnections(client, lease)
    } catch (error) {
      await closeClient(client)
      throw error
    }
    return client
  }

  #idleAt(address: DatabaseAddress): Set<pg.Client> {
    const key = formatDatabaseUrl(address)
    const idle = this.#idle.get(key) ?? new Set()
    this.#idle.set(key, idle)
    return idle
  }
}

/** @returns one that answers, taken out of `idle`; those that do not are closed. */
async function takeAlive(idle: Set<pg.Client>): Promise<pg.Client | undefined> {
  for (const client of idle) {
    idle.delete(client)
    if (await answers(client)) return client
    await closeClient(client)
  }
  return undefined
}

async function answers(client: pg.Client): Promise<boolean> {
  const question: pg.QueryConfig & { query_timeout: number } = {
    text: 'select',
    query_timeout: ANSWER_TIMEOUT_MS,
  }
  return client.query(question).then(
    () => true,
    () => false,
  )
}
