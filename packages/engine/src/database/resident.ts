// The tenant's mark in a data database, and every change of it that a move makes. Each is a compare-and-set that
// may be run twice; what guards each stands in docs/protocol.md.

import { randomInt, randomUUID } from 'node:crypto'
import type { Lease } from '@freehold/catalog'
import { FreeholdError, type TenantId } from '@freehold/contract'
import { entryDigest, type Lsn, parseLsn, violatedConstraint } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { TenantScope } from './entered.ts'
import type { TargetClaim } from './target-claim.ts'
import { unenteredWriters } from './unentered-writers.ts'

const residentSchema = z.object({
  epoch: z.coerce.number().int(),
  state: z.enum(['standby', 'frozen', 'active', 'fenced', 'sealed', 'moved']),
  fence_token: z.string().nullable(),
})
export type Resident = z.infer<typeof residentSchema>

/** Who a tenant is in one data database, without the address: enough for a connection that is already there. */
export type ResidentScope = Pick<TenantScope, 'tenantId' | 'epoch' | 'entryKey'> &
  Partial<Pick<TenantScope, 'schema'>>

/** The session that holds the exclusive lock, and the tables that nobody may be writing to when it seals. */
interface SealingSession {
  readonly client: ClientBase
  readonly relations: readonly number[]
}

/** Of a fence that nobody sees. */
const REHEARSED_FENCE_MS = 60_000
/** The largest value of a column of the type `integer`. */
const MAX_INTEGER = 2 ** 31 - 1

/**
 * @returns the tenant's mark of this epoch, or undefined when it has none here. There is one at most: a mark is known by
 * its entry key, which the tenant, the database and the epoch make. Of other epochs there may be others, in another
 * schema.
 */
export async function readResident(
  client: ClientBase,
  { tenantId, epoch }: Pick<ResidentScope, 'tenantId' | 'epoch'>,
): Promise<Resident | undefined> {
  const result = await client.query(
    'select epoch, state, fence_token from freehold.resident where tenant_id = $1 and epoch = $2',
    [tenantId, epoch],
  )
  return result.rows[0] === undefined ? undefined : residentSchema.parse(result.rows[0])
}

/** Lets a new tenant live and be entered here. An older mark of an earlier stay is replaced, a newer one is not. */
export async function admitResident(client: ClientBase, scope: ResidentScope): Promise<void> {
  await putResident(client, scope, 'active')
}

/** Marks the tenant as coming: its rows are being copied here, and nobody enters. */
export async function expectResident(client: ClientBase, scope: ResidentScope): Promise<void> {
  await putResident(client, scope, 'standby')
}

async function putResident(
  client: ClientBase,
  scope: ResidentScope,
  state: 'active' | 'standby',
): Promise<void> {
  await client.query(
    `insert into freehold.resident (tenant_id, epoch, entry_digest, state, schema_name)
     values ($1, $2, $3, $4, nullif($5, 'public'))
     on conflict on constraint one_residency_per_schema do update
       set epoch = excluded.epoch, entry_digest = excluded.entry_digest, state = excluded.state,
           fence_token = null, fence_expires_at = null, claimed_by = null, claim_token = null, left_at = null
       where resident.epoch < excluded.epoch`,
    [scope.tenantId, scope.epoch, entryDigest(scope.entryKey), state, scope.schema ?? 'public'],
  )
}

/**
 * Makes the switch this worker's. From here on no worker with an older lease of the move can fence the tenant, so what
 * is found here afterwards stays so until this worker changes it.
 *
 * @throws FreeholdError `lease_lost` when a newer lease has claimed it.
 */
export async function claimSwitch(client: ClientBase, scope: ResidentScope, lease: Lease): Promise<void> {
  const claimed = await client.query(
    `update freehold.resident set claimed_by = $3, claim_token = $4
     where tenant_id = $1 and epoch = $2 and (claimed_by is distinct from $3 or claim_token <= $4)`,
    [scope.tenantId, scope.epoch, lease.id, lease.token],
  )
  if (claimed.rowCount === 1) return
  throw new FreeholdError('lease_lost', 'Another worker has taken over the switch of the tenant.')
}

/**
 * Refuses new writers for `expiryMs` by this server's clock; reads go on. An expired fence of an earlier attempt is
 * replaced, a live one is not.
 *
 * @returns whether the tenant is fenced with this token now; not, when another lease has claimed the switch.
 */
export async function fence(
  client: ClientBase,
  scope: ResidentScope,
  lease: Lease,
  token: string,
  expiryMs: number,
): Promise<boolean> {
  const result = await client.query({
    name: 'freehold-fence',
    text: `update freehold.resident
     set state = 'fenced', fence_token = $3, fence_expires_at = clock_timestamp() + make_interval(secs => $4 / 1000.0)
     where tenant_id = $1 and epoch = $2
       and claimed_by = $5 and claim_token = $6
       and (state = 'active' or (state = 'fenced' and (fence_token = $3 or fence_expires_at <= clock_timestamp())))`,
    values: [scope.tenantId, scope.epoch, token, expiryMs, lease.id, lease.token],
  })
  return result.rowCount === 1
}

/** Lets writers in again, if the fence is still this attempt's. Never undoes a seal. */
export async function unfence(client: ClientBase, scope: ResidentScope, token: string): Promise<boolean> {
  const result = await client.query(
    `update freehold.resident set state = 'active', fence_token = null, fence_expires_at = null
     where tenant_id = $1 and epoch = $2 and state = 'fenced' and fence_token = $3`,
    [scope.tenantId, scope.epoch, token],
  )
  return result.rowCount === 1
}

/**
 * The point of no return: from here the source never takes a write of the tenant at this epoch again. Only while
 * the fence is this attempt's and has not expired, and only on the session that holds the exclusive lock: the seal is
 * checked before its commit, and without the lock a writer could enter in between, once the fence expires. Not while somebody
 * writes to the tables who has not entered, whom the lock does not wait for.
 *
 * @returns whether the tenant is sealed.
 */
export async function seal(
  { client, relations }: SealingSession,
  scope: ResidentScope,
  token: string,
): Promise<boolean> {
  const result = await client.query({
    name: 'freehold-seal',
    text: `update freehold.resident set state = 'sealed', fence_expires_at = null
     where tenant_id = $1 and epoch = $2 and state = 'fenced' and fence_token = $3
       and fence_expires_at > clock_timestamp()
       and not exists (${unenteredWriters('$4::oid[]')})`,
    values: [scope.tenantId, scope.epoch, token, relations],
  })
  return result.rowCount === 1
}

/**
 * After the seal, at the target: readers may enter, writers are held.
 *
 * @param back the stream that will carry the target's changes back. Where the target's log stands now is written down for it by
 * the same statement: all that the tenant writes here follows, and all that was carried here precedes.
 */
export async function freeze(client: ClientBase, scope: ResidentScope, back?: TargetClaim): Promise<void> {
  if (back === undefined) return transition(client, scope, 'standby', 'frozen')
  await client.query({
    name: 'freehold-freeze',
    text: `with frozen as (
       update freehold.resident set state = 'frozen' where tenant_id = $1 and epoch = $2 and state = 'standby' returning epoch)
     insert into freehold.applied (stream, fencing_token, lsn)
     select $3, $4, pg_current_wal_insert_lsn() from frozen on conflict (stream) do nothing`,
    values: [scope.tenantId, scope.epoch, back.stream, back.fencingToken],
  })
}

/**
 * @returns where the log of the tenant's home stood when it was frozen for the switch.
 * @throws FreeholdError `change_stream_failed` when nobody has written it down.
 */
export async function readSwitchPoint(client: ClientBase, stream: string): Promise<Lsn> {
  const result = await client.query<{ lsn: string }>('select lsn from freehold.applied where stream = $1', [
    stream,
  ])
  const row = result.rows[0]
  if (row !== undefined) return parseLsn(row.lsn)
  throw new FreeholdError(
    'change_stream_failed',
    'The home of the tenant does not know where the stream back begins.',
  )
}

/**
 * The tenant is not expected here any more: it was, at a later epoch than that of `scope`, at which it had left.
 */
export async function stopExpecting(client: ClientBase, scope: ResidentScope): Promise<void> {
  await client.query(
    `update freehold.resident set epoch = $2, entry_digest = $3, state = 'moved', claimed_by = null, claim_token = null,
       left_at = clock_timestamp()
     where tenant_id = $1 and epoch > $2 and state = 'standby' and schema_name is not distinct from nullif($4, 'public')`,
    [scope.tenantId, scope.epoch, entryDigest(scope.entryKey), scope.schema ?? 'public'],
  )
}

/**
 * After the catalog names the target as home, at the source: nobody enters any more. Once that is to be seen, the tenant has left:
 * transactions that begin from then on see nothing of it, whatever key they have kept. Told by the same statement, it would keep those
 * out that enter until that is committed; those that began before are not to see the rows vanish. The first of the two need not wait for
 * the disk, because the second does, behind it in the log.
 */
export async function retire(client: ClientBase, scope: ResidentScope): Promise<void> {
  const values = [scope.tenantId, scope.epoch]
  await Promise.all([
    client.query({
      name: 'freehold-retire',
      text: `update freehold.resident set state = 'moved', fence_token = null
       where tenant_id = $1 and epoch = $2 and state = 'sealed'
       returning set_config('synchronous_commit', 'off', true)`,
      values,
    }),
    client.query({
      name: 'freehold-leave',
      text: `update freehold.resident set left_at = clock_timestamp()
       where tenant_id = $1 and epoch = $2 and state = 'moved' and left_at is null`,
      values,
    }),
  ])
}

/** At last, at the target: writers go on. */
export async function activate(client: ClientBase, scope: ResidentScope): Promise<void> {
  await transition(client, scope, 'frozen', 'active')
}

/** A switch as far as its rehearsal needs to know it. */
interface RehearsedSwitch {
  /** Who is switched. */
  readonly tenantId: TenantId
  readonly lease: Lease
  /** How long a session may do nothing in the midst of it; then the server ends it, and what a worker that stands still has open. */
  readonly idleMs: number
  /** As for {@link freeze}. */
  readonly back?: TargetClaim | undefined
}

/**
 * Has the sessions of a switch do what writers will wait for, with the mark of a tenant that there is not, in transactions that are
 * rolled back: what the server plans and loads for it is there when it is done in earnest. A trigger's function and the tables that
 * it reads cost more than all the rest. Not with the tenant's own mark: its writers look whether anybody has touched it. Nor under
 * the name of the stream back, for which another worker would wait.
 */
export async function rehearseMarks(
  source: ClientBase,
  lockHolder: SealingSession,
  target: ClientBase,
  { tenantId, lease, idleMs, back }: RehearsedSwitch,
): Promise<void> {
  const { relations } = lockHolder
  const token = randomUUID()
  const rehearsed = (client: ClientBase, work: (scope: ResidentScope) => Promise<void>) =>
    undone(client, idleMs, () => work({ tenantId: nobodyLike(tenantId), epoch: 1, entryKey: randomUUID() }))
  const fenceAndSeal = async (client: ClientBase, scope: ResidentScope) => {
    await admitResident(client, scope)
    await claimSwitch(client, scope, lease)
    await fence(client, scope, lease, token, REHEARSED_FENCE_MS)
    await seal({ client, relations }, scope, token)
  }
  await Promise.all([
    rehearsed(lockHolder.client, (scope) => fenceAndSeal(lockHolder.client, scope)),
    rehearsed(source, async (scope) => {
      await fenceAndSeal(source, scope)
      await retire(source, scope)
    }),
    rehearsed(target, async (scope) => {
      await expectResident(target, scope)
      await freeze(target, scope, back && { ...back, stream: randomUUID() })
      await activate(target, scope)
    }),
  ])
}

/** An id that no tenant has, of the kind that the column takes in which this tenant's stands: no tenant's number is negative. */
function nobodyLike(tenantId: TenantId): string {
  return /^\d+$/.test(tenantId) ? `${-randomInt(1, MAX_INTEGER)}` : randomUUID()
}

async function undone(client: ClientBase, idleMs: number, work: () => Promise<void>): Promise<void> {
  await client.query(`begin; set local idle_in_transaction_session_timeout = ${Math.ceil(idleMs)}`)
  try {
    await work()
  } catch (error) {
    // A column that is too short for such an id: then the switch goes without.
    if (violatedConstraint(error) !== 'tenant_id_is_canonical') throw error
  } finally {
    await client.query('rollback')
  }
}

async function transition(
  client: ClientBase,
  scope: ResidentScope,
  from: Resident['state'],
  to: Resident['state'],
): Promise<void> {
  await client.query({
    name: 'freehold-transition',
    text: 'update freehold.resident set state = $4 where tenant_id = $1 and epoch = $2 and state = $3',
    values: [scope.tenantId, scope.epoch, from, to],
  })
}
