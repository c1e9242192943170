import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Where the numbered SQL of the schema `freehold` is: in the package as it is published, else in the repository. */
export function dataMigrations(): string {
  const packed = fileURLToPath(new URL('../migrations', import.meta.url))
  return existsSync(packed) ? packed : fileURLToPath(new URL('../../../migrations/data', import.meta.url))
}
