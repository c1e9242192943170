import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Stands between a client and a server, to break connections at a chosen moment. */
export interface CuttableProxy<Address> {
  /** The server's address, through the proxy. */
  readonly address: Address
  /** How many bytes the server has sent through it; it takes no more from it than the clients take. */
  readonly sentByServer: number
  /** Breaks every connection, or those whose clients call themselves so (`application_name`). */
  cut(name?: RegExp): void
  /** From now on whatever is sent on the connections that there are is lost, and neither end hears that the other closes. */
  vanish(): void
  /** From now on what new clients of this name (`application_name`) send is lost; nothing, without a name. */
  swallow(name?: RegExp): void
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
export async function startCuttableProxy<Address extends { readonly host: string; readonly port: number }>(
  target: Address,
): Promise<CuttableProxy<Address>> {
  let before: string | undefined
  let after: string | undefined
  let sentByServer = 0
  let swallowed: RegExp | undefined
  const connections = new Set<Connection>()

  const server = createServer((client) => {
    const upstream = connect(target.port, target.host)
    const connection: Connection = {
      client,
      name: '',
      vanished: false,
      cut() {
        connections.delete(connection)
        client.destroy()
        upstream.destroy()
      },
    }
    connections.add(connection)
    let isNew = true
    let answerIsCut = false
    const end = () => {
      if (!connection.vanished) connection.cut()
    }
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      socket.on('error', end)
      socket.on('close', end)
    }
    client.on('data', (data) => {
      if (connection.vanished) return
      if (isNew) {
        isNew = false
        connection.name = applicationName(data)
        connection.vanished = swallowed?.test(connection.name) ?? false
        if (connection.vanished) return
      }
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
      if (connection.vanished) return
      sentByServer += data.length
      if (answerIsCut) end()
      else if (!client.write(data)) upstream.pause()
    })
    client.on('drain', () => upstream.resume())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (name = /^/) => {
    for (const connection of connections) if (name.test(connection.name)) connection.cut()
  }
  return {
    get sentByServer() {
      return sentByServer
    },
    address: { ...target, host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    cut,
    vanish() {
      for (const connection of connections) connection.vanished = true
    },
    swallow(name) {
      swallowed = name
    },
    cutBefore(text) {
      before = text
    },
    cutAfter(text) {
      after = text
    },
    hold() {
      for (const { client } of connections) client.pause()
    },
    release() {
      for (const { client } of connections) client.resume()
    },
    async close() {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Connection {
  readonly client: Socket
  /** Empty until the client has told it. */
  name: string
  vanished: boolean
  cut(): void
}

/** Of a client of PostgreSQL, from the first message that it sends. */
function applicationName(startup: Buffer): string {
  return /application_name\0([^\0]+)\0/.exec(startup.toString('latin1'))?.[1] ?? ''
}
