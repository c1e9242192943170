import { useRef } from 'react'
import { isTransient } from './problem-error.ts'

/** 128 random bits. Not `crypto.randomUUID`, which browsers only offer on HTTPS and localhost. */
function newIdempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/**
 * Sends a body with an Idempotency-Key that stays the same while the outcome of that very body is unknown, so
 * that trying again after a broken connection cannot do the thing twice.
 */
export function useIdempotentSend<Body, Answer>(
  send: (body: Body, idempotencyKey: string) => Promise<Answer>,
): (body: Body) => Promise<Answer> {
  const unsettled = useRef<{ body: string; key: string } | null>(null)
  return async (body) => {
    const serialised = JSON.stringify(body)
    if (unsettled.current?.body !== serialised) {
      unsettled.current = { body: serialised, key: newIdempotencyKey() }
    }
    try {
      const answer = await send(body, unsettled.current.key)
      unsettled.current = null
      return answer
    } catch (error) {
      if (!isTransient(error)) unsettled.current = null
      throw error
    }
  }
}
