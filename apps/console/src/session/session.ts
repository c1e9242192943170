import type { Problem } from '@freehold/contract'
import { useSyncExternalStore } from 'react'

interface Session {
  readonly token: string | null
  /** Why the session before ended, when it did not end by signing out. */
  readonly ended: Problem | null
}

/** In sessionStorage the token lives as long as the tab: a reload keeps it, a closed browser does not. */
const STORAGE_KEY = 'freehold.operator-token'

let session: Session = { token: sessionStorage.getItem(STORAGE_KEY), ended: null }
const listeners = new Set<() => void>()

function replace(next: Session): void {
  session = next
  if (next.token === null) sessionStorage.removeItem(STORAGE_KEY)
  else sessionStorage.setItem(STORAGE_KEY, next.token)
  for (const listener of listeners) listener()
}

export function sessionToken(): string | null {
  return session.token
}

export function startSession(token: string): void {
  replace({ token, ended: null })
}

/** @param problem why, when the operator did not sign out himself; shown on the sign-in page. */
export function endSession(problem: Problem | null = null): void {
  replace({ token: null, ended: problem })
}

export function useSession(): Session {
  return useSyncExternalStore(subscribe, () => session)
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}
