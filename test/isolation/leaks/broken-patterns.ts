// What others do, as small as it can be, and broken in the way in which theirs was: the tests show by these that an
// attempt which comes to nothing here does come to something.

import { connectClient, type DatabaseAddress } from '@freehold/postgres'
import type pg from 'pg'
import type { Inhabitant } from './leak-ground.ts'

/** Remembers whose turn it is, and tells the server only when that changes: as if nothing else could change it. */
export class RememberedScope {
  readonly #client: pg.Client
  #current: string | undefined

  constructor(client: pg.Client) {
    this.#client = client
  }

  async use({ id, schema }: Inhabitant): Promise<void> {
    if (this.#current === id) return
    await this.#client.query(
      `select set_config('leaks.tenant', $1, false), set_config('search_path', quote_ident($2), false)`,
      [id, schema ?? 'public'],
    )
    this.#current = id
  }
}

/**
 * A connection that is made anew when it breaks, behind the back of whoever holds a transaction on it: the handle is of
 * the slot and not of the connection.
 */
export class ReconnectingSlot {
  #client: pg.Client
  #replaced = Promise.withResolvers<void>()
  #closed = false

  private constructor(client: pg.Client) {
    this.#client = client
  }

  static async open(address: DatabaseAddress): Promise<ReconnectingSlot> {
    const slot = new ReconnectingSlot(await connectClient(address, 'slot'))
    slot.#client.once('end', () => {
      if (!slot.#closed) slot.#replace(address).then(slot.#replaced.resolve, slot.#replaced.reject)
    })
    return slot
  }

  /** Settles when the connection has broken and there is another one. */
  get replaced(): Promise<void> {
    return this.#replaced.promise
  }

  query(text: string, values: unknown[] = []): Promise<pg.QueryResult> {
    return this.#client.query(text, values)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#client.end()
  }

  async #replace(address: DatabaseAddress): Promise<void> {
    this.#client = await connectClient(address, 'slot')
  }
}
