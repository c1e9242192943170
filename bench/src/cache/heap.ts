import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** Bytes of the heap that are still needed. */
export function usedHeapBytes(): number {
  // What one collection finalizes the next one frees.
  collectGarbage()
  collectGarbage()
  return process.memoryUsage().heapUsed
}
