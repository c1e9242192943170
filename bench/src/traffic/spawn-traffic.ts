import { ObjectInProcess } from '../../../test/kit/object-in-process.ts'
import type { Traffic } from './traffic.ts'

/** Traffic in another process, which ends with {@link close} or with this process. */
export interface SpawnedTraffic extends Traffic {
  /** Whatever is still sent is given up. */
  close(): Promise<void>
}

/** Starts clients and routers in a process of their own; nobody is sent anything yet. */
export function spawnTraffic(): SpawnedTraffic {
  const traffic = new ObjectInProcess<Traffic>(
    new URL('./traffic-process.ts', import.meta.url),
    "the traffic's process",
  )
  return {
    begin: traffic.method('begin'),
    pause: traffic.method('pause'),
    latencies: traffic.method('latencies'),
    firstWriteFrom: traffic.method('firstWriteFrom'),
    writesPerSecond: traffic.method('writesPerSecond'),
    end: traffic.method('end'),
    close: () => traffic.end(),
  }
}
