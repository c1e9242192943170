import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { DatabaseAddress } from '@freehold/postgres'

/** A wire to a server on which somebody counts. */
export interface CountedWire {
  /** The server's address, through the wire. */
  readonly address: DatabaseAddress
  /** Statements with parameters that have been sent so far. */
  readonly queries: number
  close(): Promise<void>
}

/** The Sync message, with which every statement of the extended protocol ends. */
const SYNC = Buffer.from([0x53, 0, 0, 0, 4])

/** Starts a proxy on a free port of the loopback interface that counts the statements which pass. */
export async function countQueries(target: DatabaseAddress): Promise<CountedWire> {
  const sockets = new Set<Socket>()
  let queries = 0
  const server = createServer((client) => {
    const upstream = connect(target.port, target.host)
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    client.on('data', (data) => {
      for (let at = data.indexOf(SYNC); at >= 0; at = data.indexOf(SYNC, at + SYNC.length)) queries++
      upstream.write(data)
    })
    upstream.on('data', (data) => client.write(data))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: { ...target, host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    get queries() {
      return queries
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
