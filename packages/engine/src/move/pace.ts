import { Transform, type TransformCallback } from 'node:stream'
import { type CopyFormat, RowCounter } from '../throttle/row-counter.ts'
import { Throttle } from '../throttle/throttle.ts'
import { holdWhile, isPaused } from './hold.ts'
import type { Move } from './move.ts'

/** How fast the rows of a move may be copied or purged: not while it is paused, nor when the servers are busy. */
export interface Pace {
  /** Rows have passed. @returns undefined when others may at once. */
  pass(rows: number): Promise<void> | undefined
  /** Put into a COPY's way, it passes everything on at this pace. */
  gate(format: CopyFormat): Transform
}

/** Runs `work` at the pace that people and servers allow. */
export async function atPace<T>(
  move: Move,
  servers: readonly ('source' | 'target')[],
  work: (pace: Pace) => Promise<T>,
): Promise<T> {
  const throttle = new Throttle({
    connections: move.connections,
    servers: Object.fromEntries(servers.map((side) => [side, move[side].mover])),
    limits: move.settings.loadLimits,
    rowsPerSecond: move.operation.maxRowsPerSecond ?? move.settings.maxRowsPerSecond,
    signal: move.signal,
    onReason: (throttled) => move.progress.update({ throttled }),
  })
  const pass = (rows: number) =>
    isPaused(move.orders.directions) ? holdWhile(move, isPaused, false) : throttle.pass(rows)
  try {
    await throttle.ready
    return await work({ pass, gate: (format) => gate(pass, throttle.countsRows ? format : undefined) })
  } finally {
    await throttle.close()
  }
}

function gate(pass: Pace['pass'], format: CopyFormat | undefined): Transform {
  const counter = format === undefined ? undefined : new RowCounter(format)
  return new Transform({
    transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback) {
      const wait = pass(counter?.count(chunk) ?? 0)
      if (wait === undefined) callback(null, chunk)
      else wait.then(() => callback(null, chunk), callback)
    },
  })
}
