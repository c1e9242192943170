// A TCP proxy that holds back everything by a fixed time in each direction, as a network of that latency would. A
// process of its own, so that it neither keeps the client's event loop busy nor counts as the client's CPU time.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { proxyArgumentsSchema } from './protocol.ts'

/** Node's timers are good to a millisecond, which is what is to be measured: near the time it naps instead. */
const NAP_MS = 0.05
const TIMER_GRAIN_MS = 2

interface Parcel {
  readonly due: number
  readonly to: Socket
  readonly data: Buffer
}

const { host, port, delayMs } = proxyArgumentsSchema.parse(JSON.parse(process.argv[2] ?? ''))
const sleeper = new Int32Array(new SharedArrayBuffer(4))
/** One delay for all, so parcels are due in the order in which they came. */
let parcels: Parcel[] = []
let running = false

function hold(to: Socket, data: Buffer): void {
  parcels.push({ due: performance.now() + delayMs, to, data })
  if (running) return
  running = true
  setImmediate(deliver)
}

function deliver(): void {
  const now = performance.now()
  const late = parcels.findIndex((parcel) => parcel.due > now)
  const due = late < 0 ? parcels : parcels.slice(0, late)
  parcels = late < 0 ? [] : parcels.slice(late)
  for (const { to, data } of due) to.write(data)
  const next = parcels[0]
  running = next !== undefined
  if (!next) return
  const wait = next.due - performance.now()
  if (wait > TIMER_GRAIN_MS) {
    setTimeout(deliver, wait - TIMER_GRAIN_MS)
  } else {
    if (wait > 0) Atomics.wait(sleeper, 0, 0, Math.min(wait, NAP_MS))
    setImmediate(deliver)
  }
}

const server = createServer((client) => {
  const upstream = connect(port, host)
  const end = () => {
    client.destroy()
    upstream.destroy()
  }
  for (const socket of [client, upstream]) {
    socket.setNoDelay(true)
    socket.on('error', end)
    socket.on('close', end)
  }
  client.on('data', (data) => hold(upstream, data))
  upstream.on('data', (data) => hold(client, data))
})
server.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.on('disconnect', () => process.exit())
