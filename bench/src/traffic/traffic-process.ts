import { localTraffic } from './local-traffic.ts'
import type { TrafficAnswer, TrafficCall, TrafficRequest } from './traffic.ts'

// Clients and routers in a process of their own: what the engine is busy with does not show in what they measure.

const traffic = localTraffic()

async function answer(call: TrafficCall): Promise<unknown> {
  switch (call.method) {
    case 'begin':
      return traffic.begin(...call.parameters)
    case 'pause':
      return traffic.pause(...call.parameters)
    case 'latencies':
      return traffic.latencies(...call.parameters)
    case 'firstWriteFrom':
      return traffic.firstWriteFrom(...call.parameters)
    case 'writesPerSecond':
      return traffic.writesPerSecond(...call.parameters)
    case 'end':
      return traffic.end(...call.parameters)
  }
}

process.on('message', async ({ number, call }: TrafficRequest) => {
  const reply: TrafficAnswer = await answer(call).then(
    (result) => ({ number, result }),
    (error: unknown) => ({
      number,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }),
  )
  process.send?.(reply)
})

// The parent ends, or is gone: without it nobody wants the answers.
process.on('disconnect', () => process.exit(0))
