import { isFreeholdError } from '@freehold/contract'
import { buildProductApi } from './api.ts'
import { readConfig } from './config.ts'

try {
  const config = readConfig()
  const api = await buildProductApi(config)
  // Requests under way are answered first. A second signal ends the process at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => api.close())
  await api.listen({ host: config.HOST, port: config.PORT })
} catch (error) {
  if (!isFreeholdError(error)) throw error
  console.error(`${error.code}: ${error.message}`)
  process.exit(1)
}
