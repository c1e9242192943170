import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { DatabaseAddress } from './address.ts'
import { connectClient } from './clients.ts'
import { quoteIdentifier } from './quoting.ts'

const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 5_000
const HEARTBEAT_MS = 5_000
const FAREWELL_MS = 500

export interface ListenerOptions {
  readonly address: DatabaseAddress
  readonly applicationName: string
  readonly channels: readonly string[]
  readonly onNotification: (channel: string, payload: string) => void
  /** Called each time the connection has been made anew: anything may have been missed. */
  readonly onReconnect: () => void
}

export interface Listener {
  /** Settles after the first attempt to connect, whether or not it succeeded. */
  readonly started: Promise<void>
  close(): Promise<void>
}

/**
 * Keeps one connection that listens. When it breaks, it is made again, with pauses that grow to 5 s; a peer that
 * is gone without a word is noticed by a heartbeat.
 */
export function startListener(options: ListenerOptions): Listener {
  const stop = new AbortController()
  const { promise: started, resolve: markStarted } = Promise.withResolvers<void>()
  const finished = keepListening(options, stop.signal, markStarted)
  return {
    started,
    async close() {
      stop.abort()
      await finished
    },
  }
}

async function keepListening(
  options: ListenerOptions,
  stop: AbortSignal,
  markStarted: () => void,
): Promise<void> {
  let delay = FIRST_DELAY_MS
  for (let connections = 0; !stop.aborted; ) {
    try {
      const client = await connectClient(options.address, options.applicationName)
      await listenOn(client, options, stop, () => {
        delay = FIRST_DELAY_MS
        if (connections++ > 0) options.onReconnect()
        markStarted()
      })
    } catch {
      markStarted()
      // The first connection is a reconnection too when it was not made at once: the caller has gone on without.
      connections++
    }
    await sleep(delay * (0.5 + Math.random()), undefined, { signal: stop }).catch(() => undefined)
    delay = Math.min(delay * 2, LONGEST_DELAY_MS)
  }
  markStarted()
}

/** Listens until the connection breaks, the server no longer answers, or `stop` is raised. */
async function listenOn(
  client: pg.Client,
  options: ListenerOptions,
  stop: AbortSignal,
  onListening: () => void,
): Promise<void> {
  const { promise: over, resolve: markOver } = Promise.withResolvers<void>()
  client.once('end', markOver)
  stop.addEventListener('abort', () => markOver(), { once: true })
  // Closed while it was connecting: that event has been.
  if (stop.aborted) markOver()
  client.on('notification', ({ channel, payload }) => options.onNotification(channel, payload ?? ''))
  const heartbeat = beat(client, markOver)
  try {
    for (const channel of options.channels) await client.query(`listen ${quoteIdentifier(channel)}`)
    onListening()
    await over
  } finally {
    clearInterval(heartbeat)
    // A server that no longer answers does not say farewell either.
    await Promise.race([client.end().catch(() => undefined), sleep(FAREWELL_MS)])
  }
}

/** Asks for a sign of life; one that has not come by the next time will not come. */
function beat(client: pg.Client, onSilence: () => void): NodeJS.Timeout {
  let isAnswered = true
  return setInterval(() => {
    if (!isAnswered) return onSilence()
    isAnswered = false
    client.query('select').then(() => {
      isAnswered = true
    }, onSilence)
  }, HEARTBEAT_MS)
}
