import { resolve } from 'node:path'
import { parseEnvironment } from '@freehold/contract'
import { z } from 'zod'
import { repositoryPath } from '../stack/layout.ts'
import { isReachablePort } from '../stack/reachable-port.ts'

const port = z.coerce
  .number('must be a port number')
  .int()
  .min(1)
  .max(65_535)
  .refine(isReachablePort, 'must not be a port that browsers refuse to connect to')
  .optional()

const environmentSchema = z.object({
  /** Where data, secrets and ports are kept, relative to the repository. */
  FREEHOLD_DIRECTORY: z
    .string()
    .default('.freehold')
    .transform((path) => resolve(repositoryPath(''), path)),
  /** Port of control API and console; without, the one of the run before, or any that is free. */
  CONTROL_API_PORT: port,
  /** Port of the example product; without, the one of the run before, or any that is free. */
  PRODUCT_API_PORT: port,
  /** Puts the queue on this Redis instead of on PostgreSQL. */
  REDIS_URL: z.url({ protocol: /^rediss?$/, message: 'must be a redis:// URL' }).optional(),
})

/** @throws FreeholdError `config_invalid` */
export function readConfig(environment: NodeJS.ProcessEnv) {
  return parseEnvironment(environmentSchema, environment)
}
