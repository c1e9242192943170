import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'
import { Holdings } from './client/holdings.ts'
import { Session } from './client/session.ts'
import { ANSWER_TIMEOUT_MS, ShopHttp } from './client/shop-http.ts'
import { VirtualClient } from './client/virtual-client.ts'
import { Ledger } from './ledger/ledger.ts'
import type { Load, LoadOptions, LoadReport } from './load.ts'
import { now, Recorder } from './measure/recorder.ts'
import { proveLedger } from './proof/prove-ledger.ts'
import { Random } from './seed/random.ts'

/**
 * Starts virtual clients in this process. The tenants must hold exactly what their seeds say, and nobody else may
 * write them.
 */
export function startLoad(options: LoadOptions): Load {
  const ledger = new Ledger(options.tenants)
  const recorder = new Recorder()
  const clients = options.tenants.flatMap((tenant, tenantNumber) =>
    Array.from({ length: tenant.clients }, (_, number) => ({ tenant, tenantNumber, number })),
  )
  const pool = new Pool(options.baseUrl, {
    connections: clients.length,
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS,
  })
  const stopping = new AbortController()
  const intervalMs = options.requestsPerSecond ? (1000 * clients.length) / options.requestsPerSecond : 0
  const drives = clients.map(({ tenant, tenantNumber, number }) => {
    const random = new Random(options.seed, tenantNumber, number)
    const tenantLedger = ledger.tenant(tenant.id)
    const session = new Session(new ShopHttp(pool, tenant.token), tenantLedger, recorder)
    const holdings = new Holdings(tenantLedger, random, number, tenant.clients)
    const client = new VirtualClient({ session, holdings, random }, options.writeShare ?? 0.5)
    return drive(client, intervalMs, random.share(), stopping.signal)
  })
  // A client that throws is a fault of the generator: the others stop, and whoever stops the load hears of it.
  const running = Promise.all(drives)
  running.catch(() => stopping.abort())

  const stopOnce = once(async (): Promise<LoadReport> => {
    stopping.abort()
    await running
    recorder.stoppedAt = now()
    await pool.close()
    return report(recorder, ledger)
  })

  return {
    progress: async () => progress(recorder),
    pause: async (tenantId, window) => recorder.pause(tenantId, window),
    stop: stopOnce,
    prove: (proof) => proveLedger(ledger, proof),
    async close() {
      await stopOnce()
    },
  }
}

/** Lets a client do one thing after the other, at most one per interval; what it could not do in time it skips. */
async function drive(
  client: VirtualClient,
  intervalMs: number,
  phase: number,
  signal: AbortSignal,
): Promise<void> {
  let due = performance.now() + phase * intervalMs
  while (!signal.aborted) {
    const wait = due - performance.now()
    if (wait > 0) await sleep(wait, undefined, { signal }).catch(() => undefined)
    if (signal.aborted) return
    due = Math.max(due + intervalMs, performance.now() - intervalMs)
    await client.step()
  }
}

const progress = ({ requests, failed, writesAcknowledged, mismatches, seconds }: Recorder) => ({
  requests,
  failed,
  writesAcknowledged,
  mismatches,
  seconds,
})

function report(recorder: Recorder, ledger: Ledger): LoadReport {
  return {
    ...progress(recorder),
    rps: recorder.requests / recorder.seconds,
    foreignRows: recorder.foreignRows,
    uncertainWrites: [...ledger.tenants.values()].reduce(
      (total, { uncertainWrites }) => total + uncertainWrites.length,
      0,
    ),
    latencies: recorder.latencies(),
    failures: recorder.failures,
    mismatchSamples: recorder.mismatchSamples,
  }
}

/** Does the work at the first call; later calls get the same promise. */
function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined
  return () => {
    result ??= work()
    return result
  }
}
