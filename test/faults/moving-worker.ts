// A worker that begins when its parent says so, stands still at a barrier when its parent says so, and ends with its parent.

import { flushCompileCache } from 'node:module'
import { readConfig, startWorker } from '@freehold/worker'
import { type Command, commandSchema, type Report } from './worker-messages.ts'

const say = (fields: object, msg: string) => console.log(JSON.stringify({ ...fields, msg }))
const logger = { info: say, warn: say }

let awaited: string | undefined
let release: (() => void) | undefined

process.on('message', (message) => obey(commandSchema.parse(message)))
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

function obey(command: Command): void {
  switch (command.kind) {
    case 'begin':
      awaited = command.barrier
      begin()
      return
    case 'stop_at':
      awaited = command.barrier
      report({ kind: 'armed' })
      return
    case 'go_on':
      release?.()
      return
    case 'shift_clock':
      shiftClock(command.ms)
  }
}

function begin(): void {
  startWorker(readConfig(process.env), logger, async (name) => {
    if (name !== awaited) return
    awaited = undefined
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    report({ kind: 'stands', barrier: name })
    await released
  })
  report({ kind: 'ready' })
  // A process that is killed never gets to keep what it has compiled for the next one.
  flushCompileCache()
}

/** What this process takes for the time jumps, as a clock does that is set; timers go on as before. */
function shiftClock(ms: number): void {
  const [dateNow, performanceNow] = [Date.now.bind(Date), performance.now.bind(performance)]
  Date.now = () => dateNow() + ms
  performance.now = () => performanceNow() + ms
}

function report(message: Report): void {
  process.send?.(message)
}
