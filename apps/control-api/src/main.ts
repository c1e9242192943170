import { openCatalog } from '@freehold/catalog'
import { FreeholdError, isFreeholdError } from '@freehold/contract'
import { openQueue, type QueueLocation } from '@freehold/engine'
import { parseDatabaseUrl } from '@freehold/postgres'
import { buildControlApi } from './app.ts'
import { type ControlApiConfig, readConfig } from './config.ts'
import { createLogger } from './logger.ts'

const STOP_TIMEOUT_MS = 10_000

try {
  await run(readConfig(process.env))
} catch (error) {
  if (!isFreeholdError(error)) throw error
  console.error(`${error.code}: ${error.message}`)
  process.exit(1)
}

async function run(config: ControlApiConfig): Promise<void> {
  const logger = createLogger(config.LOG_LEVEL)
  const address = parseDatabaseUrl(config.FREEHOLD_CATALOG_URL)
  const catalog = openCatalog({ address, applicationName: 'freehold-control-api' })
  const queue = openQueue(queueLocation(config), logger)
  const app = buildControlApi(config, { catalog, queue, logger })

  async function stop(signal: string): Promise<void> {
    logger.info({ signal }, 'control-api stopping')
    setTimeout(() => process.exit(1), STOP_TIMEOUT_MS).unref()
    await app.close()
    await Promise.all([queue.close(), catalog.close()])
    logger.info('control-api stopped')
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)

  await app.listen({ host: config.HOST, port: config.PORT }).catch((cause: NodeJS.ErrnoException) => {
    const message = `HOST, PORT: cannot listen on ${config.HOST}:${config.PORT} (${cause.code}).`
    throw new FreeholdError('config_invalid', message, { cause })
  })
}

function queueLocation({ REDIS_URL, FREEHOLD_QUEUE_DATABASE_URL }: ControlApiConfig): QueueLocation {
  return REDIS_URL === undefined
    ? { databaseUrl: FREEHOLD_QUEUE_DATABASE_URL ?? '' }
    : { redisUrl: REDIS_URL }
}
