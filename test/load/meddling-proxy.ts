import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { Pool } from 'undici'
import type { Method } from './client/shop-http.ts'

/** A request on its way to the API. */
interface ProxiedRequest {
  readonly method: Method
  readonly path: string
  readonly body: string
  readonly authorization: string
}

interface ProxiedAnswer {
  readonly status: number
  readonly body: string
}

/**
 * What a proxy does with a request: hands it on, once or twice, and answers, or breaks the connection by returning
 * nothing.
 */
export type Meddle = (
  request: ProxiedRequest,
  forward: (changed?: Partial<ProxiedRequest>) => Promise<ProxiedAnswer>,
) => Promise<ProxiedAnswer | undefined>

/** Stands between clients and the API and does to them what networks and faulty servers do. */
export async function startMeddlingProxy(
  baseUrl: string,
  meddle: Meddle,
): Promise<{ readonly baseUrl: string; close(): Promise<void> }> {
  const pool = new Pool(baseUrl, { connections: 20 })

  const forward = async ({ method, path, body, authorization }: ProxiedRequest): Promise<ProxiedAnswer> => {
    const headers = { authorization, ...(body === '' ? {} : { 'content-type': 'application/json' }) }
    const response = await pool.request({ method, path, headers, body: body === '' ? null : body })
    return { status: response.statusCode, body: await response.body.text() }
  }

  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const request: ProxiedRequest = {
      method: incoming.method as Method,
      path: incoming.url ?? '/',
      body: await text(incoming),
      authorization: incoming.headers.authorization ?? '',
    }
    const answer = await meddle(request, (changed) => forward({ ...request, ...changed }))
    if (answer === undefined) incoming.socket.destroy()
    else outgoing.writeHead(answer.status).end(answer.body)
  }

  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch(() => incoming.socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return {
    baseUrl: `http://127.0.0.1:${address.port}`,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      await pool.close()
    },
  }
}
