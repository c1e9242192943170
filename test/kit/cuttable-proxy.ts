import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { DatabaseAddress } from '@freehold/postgres'

/** Stands between a client and a server, to break connections at a chosen moment. */
export interface CuttableProxy {
  /** The server's address, through the proxy. */
  readonly address: DatabaseAddress
  /** Breaks every connection. */
  cut(): void
  /** Breaks a connection when its client sends a message that contains `text`, which the server never gets. */
  cutBefore(text: string): void
  /** Lets the message through, and breaks the connection instead of bringing the server's answer to it. */
  cutAfter(text: string): void
  /** Takes no more from the clients that there are, which can then send what fits on the way, until {@link release}. */
  hold(): void
  release(): void
  close(): Promise<void>
}

/** Starts a proxy on a free port of the loopback interface. */
export async function startCuttableProxy(target: DatabaseAddress): Promise<CuttableProxy> {
  const sockets = new Set<Socket>()
  let before: string | undefined
  let after: string | undefined
  const clients = new Set<Socket>()

  const server = createServer((client) => {
    const upstream = connect(target.port, target.host)
    clients.add(client)
    let answerIsCut = false
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', end)
      socket.on('close', () => {
        sockets.delete(socket)
        clients.delete(client)
        end()
      })
    }
    client.on('data', (data) => {
      if (before !== undefined && data.includes(before)) {
        before = undefined
        end()
        return
      }
      if (after !== undefined && data.includes(after)) {
        after = undefined
        answerIsCut = true
      }
      upstream.write(data)
    })
    upstream.on('data', (data) => {
      if (answerIsCut) end()
      else client.write(data)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    address: { ...target, host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    cut,
    cutBefore(text) {
      before = text
    },
    cutAfter(text) {
      after = text
    },
    hold() {
      for (const client of clients) client.pause()
    },
    release() {
      for (const client of clients) client.resume()
    },
    async close() {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}
