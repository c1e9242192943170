import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { entryDigest } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { Column, Facts } from '../facts/model.ts'

/** A tenant that exists inside a transaction that is rolled back. */
export interface SyntheticTenant {
  readonly name: 'A' | 'B'
  /** The tenant column's value, as text. */
  readonly id: string
  /** With which it enters, where there is the schema `freehold`. */
  readonly entryKey: string
}

export type TenantPair = readonly [SyntheticTenant, SyntheticTenant]

/** Two tenants for a type of tenant column; undefined for a type of which no two values can be made up. */
export function makePair(column: Column): TenantPair | undefined {
  const [a, b] = [idFor(column), idFor(column)]
  if (a === undefined || b === undefined || a === b) return undefined
  return [tenant('A', a), tenant('B', b)]
}

const tenant = (name: 'A' | 'B', id: string): SyntheticTenant => ({
  name,
  id,
  entryKey: randomBytes(32).toString('base64url'),
})

function idFor(column: Column): string | undefined {
  switch (column.baseType) {
    case 'uuid':
      return randomUUID()
    case 'bigint':
    case 'numeric':
      return String(randomInt(2 ** 46, 2 ** 47))
    case 'integer':
      return String(randomInt(2_000_000_000, 2_147_483_647))
    case 'smallint':
      return String(randomInt(30_000, 32_767))
    case 'text':
    case 'character varying':
    case 'character':
      return randomBytes(16)
        .toString('hex')
        .slice(0, Number(/\((\d+)\)/.exec(column.type)?.[1] ?? 32))
    default:
      return undefined
  }
}

/** Makes both residents of a database with the schema `freehold`. */
export async function admit(client: ClientBase, pair: TenantPair): Promise<void> {
  for (const { id, entryKey } of pair) {
    await client.query(
      `insert into freehold.resident (tenant_id, epoch, entry_digest, state) values ($1, 1, $2, 'active')`,
      [id, entryDigest(entryKey)],
    )
  }
}

/** Lets a tenant live in the schema of another, whose residency waits for the end of the transaction. */
export async function moveIn(client: ClientBase, { id }: SyntheticTenant, schema: string): Promise<void> {
  await client.query('delete from freehold.resident where schema_name = $1', [schema])
  await client.query('update freehold.resident set schema_name = $1 where tenant_id = $2', [schema, id])
}

/** Lets a tenant live in the shared tables again. */
export async function moveOut(client: ClientBase, { id }: SyntheticTenant): Promise<void> {
  await client.query('update freehold.resident set schema_name = null where tenant_id = $1', [id])
}

/** Enters as a tenant until the transaction, or the savepoint, ends; as nobody without one. */
export async function enter(client: ClientBase, facts: Facts, tenant: SyntheticTenant | null): Promise<void> {
  if (facts.hasFreehold) {
    await client.query(`select set_config('freehold.entry', $1, true)`, [tenant?.entryKey ?? ''])
  }
  for (const setting of facts.tenantSettings) {
    await client.query('select set_config($1, $2, true)', [setting, tenant?.id ?? ''])
  }
}
