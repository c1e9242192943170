import type { Client } from 'pg'

/**
 * Has all that `work` asks of a client, before it first waits for something, go out in one message. Each message costs a call of the
 * system and wakes the server's process; what is sent one by one is also answered one by one.
 *
 * @param client one that does not wait for answers before it sends on (`pipeline`).
 */
export function sendTogether<T>(client: Client, work: () => T): T {
  const { stream } = client.connection
  stream.cork()
  try {
    return work()
  } finally {
    stream.uncork()
  }
}
