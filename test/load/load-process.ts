import { serveObject } from '../kit/object-in-process.ts'
import type { Load } from './load.ts'
import { startLoad } from './local-load.ts'
import type { StartableLoad } from './spawn-load.ts'

// A load in a process of its own: what its parent is busy with does not show in the latencies.

let load: Load | undefined

function started(): Load {
  if (load === undefined) throw new Error('the load has not been started')
  return load
}

serveObject<StartableLoad>({
  async start(options) {
    load = startLoad(options)
  },
  progress: async () => started().progress(),
  pause: async (...parameters) => started().pause(...parameters),
  stop: async () => started().stop(),
  prove: async (...parameters) => started().prove(...parameters),
  close: async () => started().close(),
})
