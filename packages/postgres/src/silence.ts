import type { Socket } from 'node:net'
import type pg from 'pg'
import type { DatabaseAddress } from './address.ts'
import { withClient } from './clients.ts'
import { isConnectionError } from './sqlstate.ts'

const CHECK_MS = 1_000
const SILENCE_MS = 10_000

/**
 * Breaks a connection whose server has vanished without closing it; whoever waits on it then hears of it. TCP notices that by
 * itself only when nothing is on its way, and what was sent and never confirmed is repeated for a quarter of an hour.
 *
 * When nothing has come for ten seconds while an answer is waited for, the server is asked on another connection whether it still has this one: it may be busy,
 * and is then waited for. A session that it does not know any more, and a server that cannot be reached, are over.
 *
 * @param client with nothing under way yet; connected to the server itself, not through a pooler, whose sessions are not the server's.
 */
export function watchSilence(client: pg.Client, address: DatabaseAddress): void {
  // `pg` types neither of the two.
  const { processID } = client as pg.Client & { readonly processID: number }
  const stream = client.connection.stream as Socket
  let answered = stream.bytesWritten
  let heard = stream.bytesRead
  let since = performance.now()
  let asking = false
  const look = async () => {
    if (stream.bytesRead !== heard || stream.bytesWritten === answered) {
      heard = stream.bytesRead
      since = performance.now()
    }
    if (asking || performance.now() - since < SILENCE_MS) return
    asking = true
    const known = await isKnown(address, processID)
    asking = false
    since = performance.now()
    if (!known) stream.destroy(new ServerVanished(address))
  }
  const timer = setInterval(look, CHECK_MS)
  timer.unref()
  client.on('drain', () => {
    answered = stream.bytesWritten
  })
  stream.once('close', () => clearInterval(timer))
}

class ServerVanished extends Error {
  override readonly name = 'ServerVanished'
  readonly code = 'ETIMEDOUT'

  constructor({ host, port }: DatabaseAddress) {
    super(`The server at ${host}:${port} has vanished without closing the connection.`)
  }
}

/** A server that answers and does not let us ask is there, and may know the session. */
async function isKnown(address: DatabaseAddress, processId: number): Promise<boolean> {
  try {
    const found = await withClient(address, 'freehold-silence', (client) =>
      client.query('select from pg_stat_activity where pid = $1', [processId]),
    )
    return found.rowCount === 1
  } catch (error) {
    return !isConnectionError(error)
  }
}
