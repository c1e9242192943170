import { setTimeout as sleep } from 'node:timers/promises'
import type { Tenant } from '@freehold/contract'
import type { Stack } from '@freehold/local/stack'
import { withClient } from '@freehold/postgres'
import type { ControlClient } from '../../test/kit/control-client.ts'
import { seedTenant } from '../../test/load/index.ts'

interface ExampleTenant {
  readonly slug: string
  readonly name: string
  readonly tier: string
  readonly region: string
  readonly residency?: string
  /** With which it is loaded, when not with a few. */
  readonly rows?: number
  /** For how long it has been a customer. */
  readonly days: number
  /** The region in which it has got a database of its own. */
  readonly silo?: string
}

/** The one that is about to move in the pictures; the seed is what its clients have to know. */
export const MOVING = {
  slug: 'granite-bank',
  name: 'Granite Bank',
  tier: 'enterprise',
  region: 'us',
  rows: 300_000,
  days: 380,
} as const satisfies ExampleTenant
export const SEED = 1
const FEW_ROWS = 300

const pinnedTo = (region: string) => ({ region, residency: region })

const TENANTS: readonly ExampleTenant[] = [
  { slug: 'alder-finch', name: 'Alder & Finch', tier: 'pro', region: 'us', days: 412 },
  {
    slug: 'brightwater',
    name: 'Brightwater Clinics',
    tier: 'enterprise',
    ...pinnedTo('eu'),

    days: 298,
    silo: 'eu',
  },
  { slug: 'castellan', name: 'Castellan Insurance', tier: 'pro', ...pinnedTo('eu'), days: 266 },
  { slug: 'delta-freight', name: 'Delta Freight', tier: 'pro', region: 'us', days: 231 },
  { slug: 'ember-coffee', name: 'Ember Coffee', tier: 'free', region: 'us', days: 12 },
  { slug: 'fjord-outdoor', name: 'Fjord Outdoor', tier: 'free', region: 'eu', days: 47 },
  MOVING,
  { slug: 'harbour-foods', name: 'Harbour Foods', tier: 'pro', region: 'us', days: 175 },
  { slug: 'iris-optics', name: 'Iris Optics', tier: 'free', region: 'us', days: 5 },
  { slug: 'juniper-hotels', name: 'Juniper Hotels', tier: 'pro', region: 'eu', days: 133 },
  {
    slug: 'kestrel-aero',
    name: 'Kestrel Aero',
    tier: 'enterprise',
    ...pinnedTo('us'),

    days: 340,
    silo: 'us',
  },
  {
    slug: 'lumen-energy',
    name: 'Lumen Energy',
    tier: 'enterprise',
    region: 'us',

    days: 301,
    silo: 'eu',
  },
]

/** Fills a new stack with tenants, some of which have been moved, as if they had been there for a while. */
export async function createExampleTenants(stack: Stack, control: ControlClient): Promise<void> {
  for (const { rows = FEW_ROWS, days, silo, ...asked } of TENANTS) {
    const tenant = await control.createTenant(asked)
    const { cluster, database } = tenant.placement
    await seedTenant({
      database: stack.superuserAddress(cluster, database),
      tenantId: tenant.id,
      plan: { rows, seed: SEED },
    })
    await backdate(stack, tenant, days)
    if (silo !== undefined) await moveTo(control, tenant, silo)
  }
}

async function moveTo(control: ControlClient, { slug }: Tenant, region: string): Promise<void> {
  let move = await control.startMove({ tenant: slug, target: { isolation: 'silo', region } })
  while (move.finishedAt === null) {
    await sleep(100)
    move = await control.move(move.id)
  }
  if (move.error !== null) throw new Error(`${slug} was not moved: ${move.error.detail}`)
}

/** History does not change, so the triggers that see to it must look away. */
async function backdate(stack: Stack, { id }: Tenant, days: number): Promise<void> {
  await withClient(stack.superuserAddress('us-1', 'freehold_catalog'), 'screenshots', async (client) => {
    await client.query("set session_replication_role = 'replica'")
    const age = 'make_interval(days => $2, mins => 17 * $2)'
    await client.query(`update catalog.tenants set created_at = created_at - ${age} where id = $1`, [
      id,
      days,
    ])
    await client.query(`update catalog.placements set since = since - ${age} where tenant_id = $1`, [
      id,
      days,
    ])
  })
}
