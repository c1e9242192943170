import { createHmac } from 'node:crypto'
import type { OperatorRole } from '@freehold/contract'
import { buildControlApi, createLogger, readConfig } from '@freehold/control-api'
import { type OperationQueue, openQueue, type QueueLocation } from '@freehold/engine'
import { asRole, createDatabase } from './databases.ts'
import { type MovingGround, TEST_ENTRY_SECRET } from './moving-ground.ts'

const TEST_OPERATOR_SECRET = 'an operator secret of the tests, long enough to be one'

type ControlApi = ReturnType<typeof buildControlApi>

/** A control API over a moving ground, with a queue of its own. */
export interface TestControlApi {
  readonly app: ControlApi
  /** What the process would be configured with. */
  readonly environment: Readonly<Record<string, string>>
  readonly queueLocation: QueueLocation
  /** A token that this API accepts. */
  token(role?: OperatorRole): string
  /** What it has logged, a JSON object a line. */
  readonly log: string[]
  close(): Promise<void>
}

export async function buildTestControlApi(
  ground: MovingGround,
  environment: Readonly<Record<string, string>> = {},
): Promise<TestControlApi> {
  await createDatabase(ground.us.cluster, 'queue')
  const variables = {
    FREEHOLD_CATALOG_URL: urlOf(ground, 'freehold_control', 'freehold_catalog'),
    FREEHOLD_QUEUE_DATABASE_URL: urlOf(ground, 'freehold_owner', 'queue'),
    FREEHOLD_OPERATOR_SECRET: TEST_OPERATOR_SECRET,
    FREEHOLD_ENTRY_SECRET: TEST_ENTRY_SECRET,
    ...environment,
  }
  const config = readConfig(variables)
  const log: string[] = []
  const logger = createLogger('info', { write: (line) => void log.push(line) })
  const queueLocation = { databaseUrl: variables.FREEHOLD_QUEUE_DATABASE_URL }
  const queue: OperationQueue = openQueue(queueLocation, logger)
  const app = buildControlApi(config, { catalog: ground.catalog, queue, logger })
  await app.ready()
  return {
    app,
    environment: variables,
    queueLocation,
    token(role = 'operator') {
      const expiry = Math.floor(Date.now() / 1000) + 3_600
      return signJwt({ alg: 'HS256', typ: 'JWT' }, { sub: `test-${role}`, role, exp: expiry })
    },
    log,
    async close() {
      await app.close()
      await queue.close()
    },
  }
}

function urlOf(ground: MovingGround, role: 'freehold_control' | 'freehold_owner', database: string): string {
  const { host, port, user, password } = asRole(ground.us.cluster, ground.us.passwords, role, database)
  return `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}?sslmode=disable`
}

/** A JWT made by hand, so that a test can also make one that no library would. */
export function signJwt(
  header: object,
  claims: object,
  secret = TEST_OPERATOR_SECRET,
  hash = 'sha256',
): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const signed = `${encode(header)}.${encode(claims)}`
  return `${signed}.${createHmac(hash, secret).update(signed).digest('base64url')}`
}
