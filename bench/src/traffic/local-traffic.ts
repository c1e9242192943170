import { startTenantWriter } from '../../../test/kit/tenant-writer.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { startTenantReader } from './tenant-reader.ts'
import type { Traffic, TrafficOptions } from './traffic.ts'

/** Enough that a slow answer does not hold the pace back. */
const CLIENTS = 16

type Drive = Awaited<ReturnType<typeof drive>>

/** Traffic in this process. */
export function localTraffic(): Traffic {
  const drives = new Map<string, Drive>()
  const of = (tenantId: string): Drive => {
    const found = drives.get(tenantId)
    if (found === undefined) throw new Error(`nobody sends anything to ${tenantId}`)
    return found
  }
  return {
    begin: async (options) => {
      drives.set(options.tenant.id, await drive(options))
    },
    pause: async (tenantId, window) => ({
      writeMs: of(tenantId).writes.longestGap(window),
      readMs: of(tenantId).reads.longestGap(window),
    }),
    latencies: async (tenantId, interval) => [
      ...of(tenantId).writes.latencies(interval),
      ...of(tenantId).reads.latencies(interval),
    ],
    firstWriteFrom: async (tenantId, instant) => of(tenantId).writes.firstFrom(instant),
    writesPerSecond: async (tenantId, interval) =>
      (of(tenantId).writes.latencies(interval).length / (interval.to - interval.from)) * 1_000,
    end: async (tenantId, home) => {
      const { writer, reader } = of(tenantId)
      drives.delete(tenantId)
      const [wrote, failedReads] = await Promise.all([writer.stop(), reader.stop()])
      return {
        writes: wrote.acknowledged,
        failures: [...wrote.failures, ...failedReads],
        differences: await wrote.differences(home),
      }
    },
  }
}

async function drive(options: TrafficOptions) {
  const writes = new Acknowledgements()
  const reads = new Acknowledgements()
  const reader = await startTenantReader(options, (sentAt) => reads.add(sentAt))
  const writer = startTenantWriter(options.catalog, options.tenant, CLIENTS, {
    writesPerSecond: options.writesPerSecond,
    acknowledged: (sentAt) => writes.add(sentAt),
  })
  return { writes, reads, reader, writer }
}
