import { randomUUID } from 'node:crypto'
import {
  type AddMembership,
  FreeholdError,
  type Membership,
  type MembershipPage,
  memberRoleSchema,
  type PageQuery,
  subjectSchema,
} from '@freehold/contract'
import { z } from 'zod'
import type { CatalogDatabase, Queries } from './database.ts'
import { type IdempotentRequest, takeKey } from './idempotency.ts'
import { pageOf, parseCursor } from './pages.ts'
import { withRefusals } from './refusals.ts'
import { instantRow } from './rows.ts'
import { readTenant } from './tenants.ts'

const membershipRow = z.object({
  id: z.uuid(),
  subject: z.string(),
  role: memberRoleSchema,
  createdAt: instantRow,
})

const SELECT_MEMBERSHIPS = `select id, subject, role, created_at as "createdAt" from catalog.memberships`

export type MembershipsCatalog = ReturnType<typeof createMemberships>

/** Who may act in which tenant. */
export function createMemberships(database: CatalogDatabase) {
  return {
    /**
     * Makes a person a member of a tenant.
     *
     * @returns the membership; `created` is false when an earlier sending of the same request added it.
     * @throws FreeholdError `tenant_not_found`, `membership_exists`, `idempotency_key_reused`;
     * `membership_not_found` when the request is sent again after the membership has been removed.
     */
    async add(
      tenant: string,
      { subject, role }: AddMembership,
      request?: IdempotentRequest,
    ): Promise<{ membership: Membership; created: boolean }> {
      const { id: tenantId } = await readTenant(database, tenant)
      const refusals = { subject_is_a_member_once: () => new FreeholdError('membership_exists') }
      return withRefusals(refusals, () =>
        database.transaction(async (queries) => {
          const id = randomUUID()
          const made = await takeKey(queries, request, id)
          if (made !== undefined) return { membership: await readMembership(queries, made), created: false }
          await queries.run(
            'insert into catalog.memberships (id, subject, tenant_id, role) values ($1, $2, $3, $4)',
            [id, subject, tenantId, role],
          )
          return { membership: await readMembership(queries, id), created: true }
        }),
      )
    },

    /** A tenant's members, by subject. @throws FreeholdError `tenant_not_found`, `invalid_request` */
    async list(tenant: string, query: PageQuery): Promise<MembershipPage> {
      const after = parseCursor(subjectSchema, query.cursor)
      const { id } = await readTenant(database, tenant)
      const found = await database.all(
        membershipRow,
        `${SELECT_MEMBERSHIPS} where tenant_id = $1 and ($2::text is null or subject > $2)
         order by subject limit $3`,
        [id, after, query.limit + 1],
      )
      return pageOf(found, query.limit, ({ subject }) => subject)
    },

    /**
     * Ends a membership: no new token is issued for it. Tokens that are out are good until they expire.
     *
     * @throws FreeholdError `tenant_not_found`, `membership_not_found`
     */
    async remove(tenant: string, membershipId: string): Promise<void> {
      const { id } = await readTenant(database, tenant)
      const sql = 'delete from catalog.memberships where id = $1 and tenant_id = $2'
      if ((await database.run(sql, [membershipId, id])) === 0) throw notFound(membershipId)
    },
  }
}

async function readMembership(queries: Queries, id: string): Promise<Membership> {
  const found = await queries.first(membershipRow, `${SELECT_MEMBERSHIPS} where id = $1`, [id])
  if (found === undefined) throw notFound(id)
  return found
}

function notFound(id: string): FreeholdError {
  return new FreeholdError('membership_not_found', `The tenant has no membership ${id}.`, {
    details: { membership: id },
  })
}
