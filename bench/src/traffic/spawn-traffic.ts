import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { Traffic, TrafficAnswer, TrafficCall, TrafficReport, TrafficRequest } from './traffic.ts'

/** Traffic in another process, which ends with {@link close} or with this process. */
export interface SpawnedTraffic extends Traffic {
  /** Whatever is still sent is given up. */
  close(): Promise<void>
}

interface PendingCall {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** Starts clients and routers in a process of their own; nobody is sent anything yet. */
export function spawnTraffic(): SpawnedTraffic {
  const child = fork(new URL('./traffic-process.ts', import.meta.url), {
    execArgv: ['--conditions=@freehold/source'],
    // Ctrl-C reaches only this process, which then ends the traffic in its own time.
    detached: true,
    serialization: 'advanced',
  })
  const exited = once(child, 'exit')
  const pending = new Map<number, PendingCall>()
  let calls = 0
  child.on('message', ({ number, result, error }: TrafficAnswer) => {
    const call = pending.get(number)
    pending.delete(number)
    if (error === undefined) call?.resolve(result)
    else call?.reject(new Error(`in the traffic's process: ${error}`))
  })
  child.on('exit', (code, signal) => {
    for (const { reject } of pending.values()) reject(new Error(`the traffic ended: ${signal ?? code}`))
    pending.clear()
  })

  function call<R>(call: TrafficCall): Promise<R> {
    const request: TrafficRequest = { number: ++calls, call }
    return new Promise<R>((resolve, reject) => {
      pending.set(request.number, { resolve: (result) => resolve(result as R), reject })
      child.send(request, (error) => {
        if (error !== null) reject(error)
      })
    })
  }

  return {
    begin: (...parameters) => call<void>({ method: 'begin', parameters }),
    pause: (...parameters) => call<{ writeMs: number; readMs: number }>({ method: 'pause', parameters }),
    latencies: (...parameters) => call<number[]>({ method: 'latencies', parameters }),
    firstWriteFrom: (...parameters) => call<number>({ method: 'firstWriteFrom', parameters }),
    writesPerSecond: (...parameters) => call<number>({ method: 'writesPerSecond', parameters }),
    end: (...parameters) => call<TrafficReport>({ method: 'end', parameters }),
    async close() {
      if (child.connected) child.disconnect()
      await exited
    },
  }
}
