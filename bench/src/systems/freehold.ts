import { createRouter, type RouterOptions } from '@freehold/tenancy'
import { testEntrySecret } from '../../../test/kit/tenants.ts'
import type { System, SystemOptions } from './system.ts'
import { scopedQueries, type Tables } from './tables.ts'

/** The router, with the data database's own row security. */
export function openFreehold(options: SystemOptions): System {
  return open('items', options, {})
}

/** The router with its second wall: the tenant's predicate in every query, beside row security. */
export function openFreeholdWithPredicates(options: SystemOptions): System {
  return open('items_predicates', options, { tables: { tenant: ['items_predicates'] } })
}

function open(
  table: 'items' | 'items_predicates',
  { ground, address, connections }: SystemOptions,
  more: Pick<RouterOptions, 'tables'>,
): System {
  const router = createRouter<Tables>({
    source: ground.placements(address),
    entrySecret: testEntrySecret,
    maxConnections: connections,
    maxConnectionsPerDatabase: connections,
    // As everybody else's pool: any tenant may have all of it.
    maxConnectionsPerTenant: connections,
    ...more,
  })
  const { pointRead, page, addOne } = scopedQueries(table)
  return {
    pointRead: (tenantId, id) => pointRead(router.forTenant(tenantId), id),
    page: (tenantId, afterId) => page(router.forTenant(tenantId), afterId),
    async insert(tenantId, item) {
      const result = await router.forTenant(tenantId).insertInto(table).values(item).executeTakeFirst()
      return Number(result.numInsertedOrUpdatedRows)
    },
    readAndUpdate: (tenantId, id) =>
      router
        .forTenant(tenantId)
        .transaction()
        .execute(async (trx) => {
          const item = await pointRead(trx, id)
          return (await addOne(trx, id)) ? item : undefined
        }),
    close: () => router.close(),
  }
}
