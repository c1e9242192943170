import { ObjectInProcess } from '../kit/object-in-process.ts'
import type { Load, LoadOptions } from './load.ts'

/** What a process holds that loads: first of all it is to be started. */
export interface StartableLoad extends Load {
  start(options: LoadOptions): Promise<void>
}

/** Starts virtual clients in a process of their own, which ends with {@link Load.close} or with this process. */
export async function spawnLoad(options: LoadOptions): Promise<Load> {
  const load = new ObjectInProcess<StartableLoad>(
    new URL('./load-process.ts', import.meta.url),
    'the load process',
  )
  await load.method('start')(options)
  return {
    progress: load.method('progress'),
    pause: load.method('pause'),
    stop: load.method('stop'),
    prove: load.method('prove'),
    close: () =>
      load
        .method('close')()
        .finally(() => load.end()),
  }
}
