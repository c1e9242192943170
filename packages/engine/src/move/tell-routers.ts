import { setTimeout as sleep } from 'node:timers/promises'
import type { Move } from './move.ts'

/** After this long what routers have opened may be closed again. */
const KEPT_MS = 5_000

/** Has routers connect to the target before the tenant lives there, unless they were told a moment ago. */
export async function tellRouters({ catalog, operation, session }: Move): Promise<void> {
  if (session.routersToldAt !== undefined && performance.now() - session.routersToldAt < KEPT_MS) return
  await catalog.announcements.announceComing(operation.tenantId)
  session.routersToldAt = performance.now()
}

/** While routers connect, the machines are busy, and writers would wait for that as well. */
export async function awaitRouters({ session, settings }: Move): Promise<void> {
  const toldMs = performance.now() - (session.routersToldAt ?? 0)
  const leftMs = settings.routersConnectMs - toldMs
  // A clock that was set back does not make it longer.
  if (leftMs > 0) await sleep(Math.min(leftMs, settings.routersConnectMs))
}
