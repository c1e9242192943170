import { measureCpuTime } from './cpu-time.ts'

/** What one system did in one slice of time. */
export interface Slice {
  readonly operations: number
  readonly elapsedMs: number
  readonly clientCpuUs: number
  readonly serverCpuUs: number | null
}

/**
 * Runs an operation again and again, by as many callers as there are connections, each beginning its next when its
 * last is done, and lets what is under way at the end finish.
 *
 * @param latenciesMs gets the time that each operation took.
 * @throws what an operation throws, when all callers have stopped.
 */
export async function runSlice(
  operation: () => Promise<void>,
  options: { readonly callers: number; readonly milliseconds: number; readonly serverPid: number },
  latenciesMs: number[],
): Promise<Slice> {
  const endCpuTime = measureCpuTime(options.serverPid)
  const start = performance.now()
  const end = start + options.milliseconds
  let operations = 0
  let failed = false

  const caller = async () => {
    try {
      for (let began = performance.now(); began < end && !failed; ) {
        await operation()
        const done = performance.now()
        latenciesMs.push(done - began)
        operations++
        began = done
      }
    } catch (error) {
      failed = true
      throw error
    }
  }
  const outcomes = await Promise.allSettled(Array.from({ length: options.callers }, caller))
  const elapsedMs = performance.now() - start
  const { clientUs, serverUs } = endCpuTime()
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return { operations, elapsedMs, clientCpuUs: clientUs, serverCpuUs: serverUs }
}
