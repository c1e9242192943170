import { quoteIdentifier, quoteLiteral } from '@freehold/postgres'
import type { Check } from '../check.ts'

export const freeholdLeftovers: Check = {
  id: 'freehold-leftovers',
  severity: 'advisory',
  why: 'What ended work leaves behind holds disk (a slot keeps the log, triggers note changes that nobody reads), or says of tenants and tables what is no longer so.',
  fix: "Let the worker's janitor remove it; by hand only when no move of the tenant is under way (`freehold moves list --active`).",
  find: ({ leftovers }) =>
    leftovers === null
      ? []
      : [
          ...leftovers.vanishedTables.map((oid) => ({
            object: `freehold.managed_table ${oid}`,
            found: 'The table that it declares is gone.',
            sql: [`delete from freehold.managed_table where relation::oid = ${oid};`],
          })),
          ...leftovers.staleStreams.map(({ stream, hours }) => ({
            object: `freehold.applied ${stream}`,
            found: `The stream has applied nothing for ${hours} hours.`,
            sql: [`delete from freehold.applied where stream = ${quoteLiteral(stream)};`],
          })),
          ...leftovers.expiredFences.map(({ tenant, hours }) => ({
            object: `freehold.resident ${tenant}`,
            found: `Its fence expired ${hours} hours ago and still stands.`,
            sql: [
              `update freehold.resident set state = 'active', fence_token = null, fence_expires_at = null where tenant_id = ${quoteLiteral(tenant)} and state = 'fenced' and fence_expires_at < clock_timestamp();`,
            ],
          })),
          ...leftovers.idleSlots.map((slot) => ({
            object: `replication slot ${slot}`,
            found: 'Nobody reads it, and it keeps the log.',
            sql: [`select pg_drop_replication_slot(${quoteLiteral(slot)});`],
          })),
          ...leftovers.unreadPublications.map((publication) => ({
            object: `publication ${publication}`,
            found: 'It was made for a move, and its replication slot is gone.',
            sql: [`drop publication ${quoteIdentifier(publication)};`],
          })),
          ...leftovers.unreadTriggers.map(({ stream, table, triggers }) => ({
            object: `triggers ${stream} on ${table}`,
            found: 'They note what changes for a move on which nobody works.',
            sql: [
              ...triggers.map((trigger) => `drop trigger ${quoteIdentifier(trigger)} on ${table};`),
              `delete from freehold.change where stream = ${quoteLiteral(stream)};`,
            ],
          })),
        ],
}
