import { createHash } from 'node:crypto'
import {
  canonicalTenantId,
  dataDatabaseIdSchema,
  epochSchema,
  FreeholdError,
  regionIdSchema,
  type Slug,
  slugSchema,
  type TenantId,
  tenantIdSchema,
  tierIdSchema,
} from '@freehold/contract'
import {
  createPool,
  type DatabaseAddress,
  deriveEntryKey,
  entryDigest,
  parseDatabaseUrl,
  startListener,
} from '@freehold/postgres'
import { z } from 'zod'
import type { PlacementSource, Route } from './placement-source.ts'

export interface ResidentSourceOptions {
  /** The product's database as `freehold_app`: a URL or an address. */
  readonly app: string | DatabaseAddress
  /** The same database as `freehold_control`, which knows who lives there and sees no product's row. */
  readonly control: string | DatabaseAddress
  /** FREEHOLD_ENTRY_SECRET, as for the router. */
  readonly entrySecret: string
  /** The region that tenants are said to be in; `local` unless set. */
  readonly region?: string
  /** The tier that tenants are said to have; `default` unless set. */
  readonly tier?: string
  /** Connections for look-ups, at most; 2 unless set. */
  readonly maxConnections?: number
}

/** The tenants of one database, without a control plane. */
export interface ResidentSource extends PlacementSource {
  /**
   * Lets a new tenant in. Safe to repeat.
   *
   * @throws FreeholdError `invalid_request` when that is no tenant id; `DatabaseError` with the constraint
   * `tenant_id_is_canonical` when it is not a value of the tenant column.
   */
  admit(tenantId: string): Promise<void>
  /** Lets a tenant in no more; its rows stay. From then on entry is refused, also to routers that know it. */
  dismiss(tenantId: string): Promise<void>
  close(): Promise<void>
}

const FIRST_EPOCH = 1
const APPLICATION_NAME = 'freehold-residents'
const CHANNEL = 'freehold_resident'
const ABSENT = ['standby', 'moved']

const residentRow = z.object({
  epoch: z.coerce.number().pipe(epochSchema),
  schema: z.string().nullable(),
  dataDatabaseId: dataDatabaseIdSchema,
})

/**
 * Placements for a product that uses the router alone, in one database that `freehold adopt` has prepared: every
 * tenant that is resident there lives there. Moving to a catalog later keeps database, tenants and keys.
 *
 * @throws TypeError when a URL is none.
 * @example
 * ```ts
 * const source = createResidentSource({ app: config.DATABASE_URL, control: config.CONTROL_URL, entrySecret })
 * const router = createRouter({ source, entrySecret })
 * await source.admit('42')
 * ```
 */
export function createResidentSource(options: ResidentSourceOptions): ResidentSource {
  const { entrySecret, maxConnections = 2 } = options
  const app = toAddress(options.app)
  const region = regionIdSchema.parse(options.region ?? 'local')
  const tier = tierIdSchema.parse(options.tier ?? 'default')
  const control = toAddress(options.control)
  const pool = createPool(control, APPLICATION_NAME, maxConnections)

  return {
    async lookup(tenantId): Promise<Route | null> {
      const { rows } = await pool.query(
        `select resident.epoch, resident.schema_name as schema, identity.data_database_id as "dataDatabaseId"
         from freehold.resident cross join freehold.identity
         where resident.tenant_id = $1 and resident.state::text <> all ($2)
         order by resident.epoch desc limit 1`,
        [tenantId, ABSENT],
      )
      if (rows[0] === undefined) return null
      const { epoch, schema, dataDatabaseId } = residentRow.parse(rows[0])
      return {
        tenantId,
        slug: slugOf(tenantId),
        status: 'active',
        tier,
        epoch,
        isolation: schema === null ? 'pool' : 'schema',
        schema: schema ?? 'public',
        dataDatabaseId,
        region,
        address: app,
      }
    },

    async subscribe(listener) {
      const subscription = startListener({
        address: control,
        applicationName: APPLICATION_NAME,
        channels: [CHANNEL],
        onNotification: (_channel, payload) => {
          const tenantId = tenantIdSchema.safeParse(payload)
          if (tenantId.success) listener({ tenantId: tenantId.data })
        },
        onReconnect: () => listener('all'),
      })
      await subscription.started
      return () => subscription.close()
    },

    async admit(tenantId) {
      const id = parseTenantId(tenantId)
      const { rows } = await pool.query('select data_database_id as id from freehold.identity')
      const dataDatabaseId = dataDatabaseIdSchema.parse(rows[0]?.id)
      const entryKey = deriveEntryKey(entrySecret, { tenantId: id, dataDatabaseId, epoch: FIRST_EPOCH })
      await pool.query(
        `insert into freehold.resident (tenant_id, epoch, entry_digest, state) values ($1, $2, $3, 'active')
         on conflict do nothing`,
        [id, FIRST_EPOCH, entryDigest(entryKey)],
      )
    },

    async dismiss(tenantId) {
      await pool.query('delete from freehold.resident where tenant_id = $1', [parseTenantId(tenantId)])
    },

    close: () => pool.end(),
  }
}

function toAddress(address: string | DatabaseAddress): DatabaseAddress {
  return typeof address === 'string' ? parseDatabaseUrl(address) : address
}

function parseTenantId(tenantId: string): TenantId {
  const parsed = tenantIdSchema.safeParse(canonicalTenantId(tenantId))
  if (parsed.success) return parsed.data
  throw new FreeholdError('invalid_request', 'That is not a tenant id.', { cause: parsed.error })
}

/** Without a catalog nobody has given the tenant a slug: its id where that can be one, otherwise something like it. */
function slugOf(tenantId: TenantId): Slug {
  const id = slugSchema.safeParse(tenantId)
  if (id.success) return id.data
  return slugSchema.parse(`t-${createHash('sha256').update(tenantId).digest('hex').slice(0, 16)}`)
}
