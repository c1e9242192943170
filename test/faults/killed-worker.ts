// A worker that is killed at a named durable write, once: the first process to get there records that it did.

import { writeFileSync } from 'node:fs'
import { readConfig, startWorker } from '@freehold/worker'

const barrier = process.env.KILL_AT
const mark = process.env.KILL_MARK
const say = (fields: object, msg: string) => console.log(JSON.stringify({ ...fields, msg }))
const logger = { info: say, warn: say }

startWorker(readConfig(process.env), logger, async (name) => {
  if (name !== barrier || mark === undefined) return
  try {
    writeFileSync(mark, name, { flag: 'wx' })
  } catch {
    return
  }
  process.kill(process.pid, 'SIGKILL')
  // The signal may arrive a moment later; until then nothing further is done.
  await new Promise(() => undefined)
})
logger.info({ pid: process.pid }, 'worker ready')
