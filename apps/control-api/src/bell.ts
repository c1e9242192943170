import { setTimeout as sleep } from 'node:timers/promises'

/** Something to wait for that many may ring and one hears; rung before it is listened to, it is heard at once. */
export interface Bell {
  ring(): void
  /** Waits for a ring, at most `ms`. @returns whether it rang. */
  rung(ms: number): Promise<boolean>
  /** Waits for `ms` whether or not it rings; a ring meanwhile is heard afterwards. */
  silence(ms: number): Promise<void>
}

/** @param signal ends every wait. */
export function createSignalBell(signal: AbortSignal): Bell {
  let isRinging = false
  let wake: () => void = () => undefined
  return {
    ring() {
      isRinging = true
      wake()
    },
    async rung(ms) {
      if (!isRinging) {
        const heard = new AbortController()
        wake = () => heard.abort()
        await pause(ms, AbortSignal.any([signal, heard.signal]))
        wake = () => undefined
      }
      const rang = isRinging
      isRinging = false
      return rang
    },
    silence: (ms) => pause(ms, signal),
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}
