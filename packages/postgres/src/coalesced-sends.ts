import { setImmediate } from 'node:timers'

/** With fewer than that in a turn of the event loop, waiting for its end costs more than it saves. */
const MANY = 5

let sends = 0
let lastTurnHadMany = false
let waiting: (() => void)[] = []

/**
 * Sends now; or, when the process is busy, at the end of this turn of the event loop, together with whatever else is to
 * be sent in it, in the order of the calls.
 *
 * Every message wakes a process of the server, which on a machine that has no processor to spare takes one from us while
 * other answers that have arrived wait to be read. Where many arrive at a time, dealing with all of them first is faster
 * for everybody; where few do, their messages would only arrive in a bunch (`npm run bench -- router` has both).
 *
 * @param send must not throw: nobody may be left to be told.
 */
export function sendCoalesced(send: () => void): void {
  if (sends === 0) setImmediate(endTurn)
  sends++
  if (lastTurnHadMany) waiting.push(send)
  else send()
}

function endTurn(): void {
  lastTurnHadMany = sends >= MANY
  sends = 0
  const together = waiting
  waiting = []
  for (const send of together) send()
}
