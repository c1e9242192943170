import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type DatabaseAddress, withClient } from '@freehold/postgres'
import { proxyReadySchema } from './protocol.ts'

/** A way to a server on which everything takes longer. */
export interface DelayedAddress {
  readonly address: DatabaseAddress
  close(): Promise<void>
}

/** Starts a proxy in front of a server that holds everything back for `delayMs` in each direction. */
export async function delayAddress(address: DatabaseAddress, delayMs: number): Promise<DelayedAddress> {
  if (delayMs === 0) return { address, close: async () => undefined }
  const program = fileURLToPath(new URL('./proxy-process.ts', import.meta.url))
  const child = fork(program, [JSON.stringify({ host: address.host, port: address.port, delayMs })])
  const exited = once(child, 'exit')
  const [message] = await Promise.race([
    once(child, 'message'),
    exited.then(([code]) => Promise.reject(new Error(`the delaying proxy ended with status ${code}`))),
  ])
  const { port } = proxyReadySchema.parse(message)
  return {
    address: { ...address, host: '127.0.0.1', port },
    async close() {
      child.disconnect()
      await exited
    },
  }
}

const PINGS = 200

/** How long the smallest query takes over an address, in ms: the median of 200, one after the other. */
export function roundTripMs(address: DatabaseAddress): Promise<number> {
  return withClient(address, 'bench-ping', async (client) => {
    const times: number[] = []
    for (let ping = 0; ping < PINGS; ping++) {
      const start = performance.now()
      await client.query('select')
      times.push(performance.now() - start)
    }
    return times.sort((one, other) => one - other)[PINGS / 2] ?? 0
  })
}
