import type { DatabaseAddress } from '@freehold/postgres'
import type { Ground } from '../router/ground.ts'

/** What is compared. `plain` is the baseline of every ratio. */
export const systemNames = [
  'plain',
  'freehold',
  'freehold+predicates',
  'set-config',
  'drizzle',
  'prisma',
  'usebetterdev',
] as const

export type SystemName = (typeof systemNames)[number]

export interface Item {
  readonly id: number
  readonly name: string
  readonly quantity: number
}

/** The same four pieces of work, each as product code on that system would write it. */
export interface System {
  /** One row by its key. */
  pointRead(tenantId: string, id: number): Promise<Item | undefined>
  /** The 20 rows that follow a key, in order. */
  page(tenantId: string, afterId: number): Promise<readonly Item[]>
  /** @returns how many rows were inserted. */
  insert(tenantId: string, item: Item): Promise<number>
  /** Reads a row and adds one to its quantity, in one transaction. @returns the row as read, if it was updated. */
  readAndUpdate(tenantId: string, id: number): Promise<Item | undefined>
  close(): Promise<void>
}

export interface SystemOptions {
  readonly ground: Ground
  /** The data database as the application's role, perhaps through a proxy. */
  readonly address: DatabaseAddress
  /** Connections, at most; there are as many callers. */
  readonly connections: number
}

export const PAGE_ROWS = 20
