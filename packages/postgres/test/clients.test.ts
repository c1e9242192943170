import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { connectClient, isConnectionError } from '@freehold/postgres'
import t from 'tap'

t.test('a server that takes a connection and never answers cannot be reached, and is named', async (t) => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const address = {
    host: '127.0.0.1',
    port,
    database: 'any',
    user: 'any',
    password: 'any',
    tls: 'disable',
  } as const
  const error = await connectClient(address, 'test').catch((error: unknown) => error)
  t.ok(isConnectionError(error))
  t.match(error, { message: new RegExp(`127.0.0.1:${port}`) })
})
