import { createRouteSource } from '@freehold/catalog'
import { createRouter } from '@freehold/tenancy'
import { TEST_ENTRY_SECRET } from '../../../test/kit/moving-ground.ts'
import { turns } from '../../../test/kit/tenant-writer.ts'
import type { TrafficOptions } from './traffic.ts'

interface Tables {
  customers: { id: string; email: string }
}

const CLIENTS = 4
/** Rows that the readers ask for, one at a time. */
const ROWS = 200

/** Reads one row after the other of those that a tenant had before; a row that is not found is a failure. */
export async function startTenantReader(options: TrafficOptions, acknowledged: (sentAt: number) => void) {
  const source = createRouteSource({ address: options.catalog, applicationName: 'bench-reader' })
  const router = createRouter<Tables>({ source, entrySecret: TEST_ENTRY_SECRET, holdDeadlineMs: 20_000 })
  const db = router.forTenant(options.tenant.id)
  const rows = await db
    .selectFrom('customers')
    .select('id')
    .where('email', 'not like', '%@writer.test')
    .limit(ROWS)
    .execute()
  const failures: string[] = []
  let stopping = false

  const read = async (id: string) => {
    const sentAt = performance.now()
    try {
      const found = await db.selectFrom('customers').selectAll().where('id', '=', id).execute()
      if (found[0]?.id === id) acknowledged(sentAt)
      else failures.push(`read: ${id} is not found`)
    } catch (error) {
      failures.push(`read: ${String(error)}`)
    }
  }
  const client = async (number: number) => {
    const intervalMs = (1_000 * CLIENTS) / options.readsPerSecond
    const turn = turns(intervalMs, (number / CLIENTS) * intervalMs)
    for (let at = number; !stopping; at += CLIENTS) {
      await turn()
      await read(rows[at % rows.length]?.id ?? '')
    }
  }
  const running = Array.from({ length: CLIENTS }, (_, number) => client(number))

  return {
    /** @returns the reads that failed. */
    async stop(): Promise<readonly string[]> {
      stopping = true
      await Promise.all(running)
      await router.close()
      await source.close()
      return failures
    },
  }
}
