import { type Move, moveSchema, operationIdSchema, type Tenant, tenantSchema } from '@freehold/contract'
import { receiveNudges } from '@freehold/engine'
import { withClient } from '@freehold/postgres'
import { buildTestControlApi, type TestControlApi } from '../../../test/kit/control-api.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { type MovingGround, prepareMovingGround } from '../../../test/kit/moving-ground.ts'

type Answer = Awaited<ReturnType<TestControlApi['app']['inject']>>

/** A control API that has the operator's token sent with every request, and nobody who works on the moves. */
export interface ApiGround extends MovingGround {
  readonly api: TestControlApi
  readonly authorization: string
  /** The moves of which workers were told, each time. */
  readonly nudged: string[]
  get(url: string): Promise<Answer>
  post(url: string, payload?: object, key?: string): Promise<Answer>
  newTenant(rest?: object): Promise<Tenant>
  /** Records a move of a tenant to a silo in `eu`. */
  start(tenant: Tenant): Promise<Move>
  /** Ends a move by hand, as an engine that gives it up does. */
  abort(id: string): Promise<void>
  /** As the superuser of `us`. */
  asRoot(
    database: string,
    sql: string,
    values?: unknown[],
  ): Promise<{ readonly rows: unknown[]; readonly rowCount: number | null }>
}

/** What is asked for to move a tenant to a silo in `eu`. */
export const toEu = (tenant: string, rest: object = {}) => ({
  tenant,
  target: { isolation: 'silo', region: 'eu' },
  ...rest,
})

export async function prepareApiGround(): Promise<ApiGround> {
  const ground = await prepareMovingGround()
  const api = await buildTestControlApi(ground)
  const nudged: string[] = []
  const silent = { info: () => undefined, warn: () => undefined }
  const receiver = receiveNudges(api.queueLocation, silent, (id) => void nudged.push(id))
  const authorization = `Bearer ${api.token()}`
  const post: ApiGround['post'] = (url, payload, key) =>
    api.app.inject({
      method: 'POST',
      url,
      headers: { authorization, ...(key && { 'idempotency-key': key }) },
      ...(payload && { payload }),
    })
  let created = 0

  return {
    ...ground,
    api,
    authorization,
    nudged,
    get: (url) => api.app.inject({ url, headers: { authorization } }),
    post,
    async newTenant(rest = {}) {
      const answer = await post('/v1/tenants', { slug: `t-${++created}`, name: 'T', region: 'us', ...rest })
      return tenantSchema.parse(answer.json())
    },
    start: async (tenant) => moveSchema.parse((await post('/v1/moves', toEu(tenant.slug))).json()),
    async abort(id) {
      const operationId = operationIdSchema.parse(id)
      const claimed = await ground.catalog.operations.claim(operationId, 'test', 60_000)
      if (claimed === null) throw new Error('somebody works on it')
      const step = { id: operationId, token: claimed.fencingToken, state: {} }
      await ground.catalog.operations.advance({
        ...step,
        fromPhase: claimed.phase,
        toPhase: 'aborting',
        message: 'Aborting.',
      })
      await ground.catalog.operations.advance({
        ...step,
        fromPhase: 'aborting',
        toPhase: 'aborted',
        message: 'Aborted.',
      })
    },
    asRoot: (database, sql, values) =>
      withClient(asSuperuser(ground.us.cluster, database), 'test', (client) => client.query(sql, values)),
    async remove() {
      await receiver.close()
      await api.close()
      await ground.remove()
    },
  }
}
