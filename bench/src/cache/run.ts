import { parseArgs } from 'node:util'
import type { TenantId } from '@freehold/contract'
import { PlacementCache } from '../../../packages/tenancy/src/placement/placement-cache.ts'
import { testEntrySecret } from '../../../test/kit/tenants.ts'
import { BadArguments } from '../bad-arguments.ts'
import { table } from '../table.ts'
import { type BigCatalog, bigCatalog, freshString } from './catalog.ts'
import { usedHeapBytes } from './heap.ts'
import { lookupNs } from './lookup-time.ts'

const TENANTS = 1_000_000
const QUICK_TENANTS = 20_000
const FEW = 1_000
const MAX_LOOKUP_NS = 1_000
const MAX_BYTES = 1_024

/**
 * Measures the router's placement cache: the time of a hot look-up and the memory of a cached tenant.
 *
 * @throws BadArguments
 */
export async function runCacheBench(args: readonly string[]): Promise<void> {
  const { json, quick } = parse(args)
  const result = await measure(bigCatalog(quick ? QUICK_TENANTS : TENANTS))
  const { rows, budgets, tenants, cached } = result
  print(`${tenants} tenants in the catalog, each asked for once; ${cached} of them are kept.`)
  print(
    table(
      ['what', 'value'],
      rows.map(({ what, value, unit }) => [what, `${value.toFixed(0)} ${unit}`]),
    ),
  )
  for (const { name, measured, below, met } of budgets) {
    print(`${met ? 'met    ' : 'NOT MET'}  ${name}: ${measured.toFixed(0)}, wanted below ${below}`)
  }
  if (json) print(JSON.stringify(result))
}

async function measure({ ids, source }: BigCatalog) {
  const empty = usedHeapBytes()
  const cache = new PlacementCache(source, testEntrySecret, ids.length)
  for (const id of ids) await cache.resolve(freshString(id))
  const cached = ids.filter((id) => cache.peek(id) !== undefined)
  const filled = usedHeapBytes()
  // A tenant that has been served also has its key.
  for (const id of cached) cache.peek(id)?.entry('reader')
  const entered = usedHeapBytes()

  const peek = (id: TenantId) => cache.peek(id)
  const any = lookupNs(peek, cached, freshString)
  const few = lookupNs(peek, cached.slice(0, FEW), freshString)
  const bytes = (entered - empty) / cached.length
  return {
    tenants: ids.length,
    cached: cached.length,
    rows: [
      { what: 'look-up, any cached tenant', value: any, unit: 'ns' },
      { what: `look-up, one of ${FEW} tenants`, value: few, unit: 'ns' },
      {
        what: 'memory of a tenant that was looked up',
        value: (filled - empty) / cached.length,
        unit: 'bytes',
      },
      { what: 'memory of a tenant that was entered', value: bytes, unit: 'bytes' },
    ],
    budgets: [
      { name: 'a hot look-up, in ns', measured: any, below: MAX_LOOKUP_NS, met: any < MAX_LOOKUP_NS },
      { name: 'a cached tenant, in bytes', measured: bytes, below: MAX_BYTES, met: bytes < MAX_BYTES },
    ],
  }
}

function parse(args: readonly string[]): { readonly json: boolean; readonly quick: boolean } {
  try {
    const { json = false, quick = false } = parseArgs({
      args: [...args],
      options: { json: { type: 'boolean' }, quick: { type: 'boolean' } },
    }).values
    return { json, quick }
  } catch (error) {
    throw new BadArguments(error instanceof Error ? error.message : String(error))
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
