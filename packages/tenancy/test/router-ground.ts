import { setTimeout as sleep } from 'node:timers/promises'
import { epochSchema, type TenantId } from '@freehold/contract'
import { createRouter, type FreeholdDatabase, type Router, type RouterOptions } from '@freehold/tenancy'
import type t from 'tap'
import { type PreparedCluster, startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  ControlledSource,
  newTenantId,
  setResident,
  type TestDatabase,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'

/** A server for data databases, and routers over them that hear of tenants what a test has them hear. */
export interface RouterGround<Tables> {
  readonly prepared: PreparedCluster
  readonly source: ControlledSource
  /** All that have been made. */
  readonly routers: readonly Router<Tables>[]
  /** A router that is closed with the ground, if not before. */
  newRouter(options?: Partial<RouterOptions>): Router<Tables>
  /**
   * A tenant that lives in a database.
   *
   * @param schema its own schema; null: the shared tables.
   */
  newTenant(database: TestDatabase, schema?: string | null): Promise<TenantId>
  /** Moves a tenant's residency; nobody is told. */
  move(tenantId: TenantId, from: TestDatabase, to: TestDatabase, epoch: number): Promise<void>
  remove(): Promise<void>
}

/** @param defaults what its routers are like unless told otherwise. */
export async function prepareRouterGround<Tables = FreeholdDatabase>(
  name: string,
  defaults: Partial<RouterOptions> = {},
): Promise<RouterGround<Tables>> {
  const prepared = await startPreparedCluster(name)
  const source = new ControlledSource()
  const routers: Router<Tables>[] = []
  return {
    prepared,
    source,
    routers,
    newRouter(options) {
      const router = createRouter<Tables>({ source, entrySecret: testEntrySecret, ...defaults, ...options })
      routers.push(router)
      return router
    },
    async newTenant(database, schema = null) {
      const tenantId = newTenantId()
      await setResident(database, tenantId, 'active', 1, schema)
      source.place(database, tenantId, schema === null ? {} : { isolation: 'schema', schema })
      return tenantId
    },
    async move(tenantId, from, to, epoch) {
      await setResident(from, tenantId, 'moved', epoch - 1)
      await setResident(to, tenantId, 'active', epoch)
      source.place(to, tenantId, { epoch: epochSchema.parse(epoch) })
    },
    async remove() {
      await Promise.all(routers.map((router) => router.close()))
      await prepared.cluster.remove()
    },
  }
}

/** Fails unless every connection is back and none is waited for. */
export async function allIdle(test: Pick<typeof t, 'match'>, of: Pick<Router, 'connections'>): Promise<void> {
  // What a statement may have left is cleaned up after its result has been handed out.
  for (let tries = 0; tries < 500 && [...of.connections().values()].some((c) => c.idle < c.size); tries++) {
    await sleep(10)
  }
  for (const [id, counts] of of.connections()) test.match(counts, { idle: counts.size, waiting: 0 }, id)
}
