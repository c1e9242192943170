import { isFreeholdError } from '@freehold/contract'
import { pino } from 'pino'
import { readConfig } from './config.ts'
import { startWorker } from './worker.ts'

/** A move in its cutover is finished before the process ends; what takes longer is killed by whoever waits. */
const STOP_DEADLINE_MS = 20_000

try {
  const config = readConfig(process.env)
  // Written at once: what waits to be written when nobody reads it any more, pino would try for ever, and never end.
  const logger = pino({ name: 'freehold-worker', level: config.LOG_LEVEL }, pino.destination({ sync: true }))
  const worker = startWorker(config, logger)
  const stop = async (signal: NodeJS.Signals) => {
    logger.info({ signal }, 'worker stopping')
    setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref()
    await worker.stop()
    logger.info({}, 'worker stopped')
    process.exit(0)
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  logger.info({ pid: process.pid }, 'worker ready')
} catch (error) {
  if (!isFreeholdError(error)) throw error
  console.error(`${error.code}: ${error.message}`)
  process.exit(1)
}
