import type { Load } from './load.ts'
import type { LoadAnswer, LoadCall, LoadRequest } from './load-messages.ts'
import { startLoad } from './local-load.ts'

// A load in a process of its own: what its parent is busy with does not show in the latencies.

let load: Load | undefined

async function answer(call: LoadCall): Promise<unknown> {
  if (call.method === 'start') {
    load = startLoad(...call.parameters)
    return undefined
  }
  if (load === undefined) throw new Error('the load has not been started')
  switch (call.method) {
    case 'pause':
      return load.pause(...call.parameters)
    case 'prove':
      return load.prove(...call.parameters)
    default:
      return load[call.method]()
  }
}

process.on('message', async ({ number, call }: LoadRequest) => {
  const reply: LoadAnswer = await answer(call).then(
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
