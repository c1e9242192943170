import { join } from 'node:path'
import { ensureSecretFile } from '../secret-file.ts'

/** What the processes of a stack must know and nobody else. */
export interface StackSecrets {
  /** From which every entry key is derived. */
  readonly entry: string
  /** Signs operators' tokens. */
  readonly operatorJwt: string
  /** Signs the tokens of the product's users. */
  readonly productJwt: string
}

/** The secrets in `directory`, made at random the first time; files that only their owner can read. */
export async function ensureStackSecrets(directory: string): Promise<StackSecrets> {
  return {
    entry: await ensureSecretFile(join(directory, 'entry')),
    operatorJwt: await ensureSecretFile(join(directory, 'operator-jwt')),
    productJwt: await ensureSecretFile(join(directory, 'product-jwt')),
  }
}
