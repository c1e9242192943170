import type { TablePair } from '../database/tables.ts'
import type { ChangedRows, Key } from './change-stream.ts'

/** Changed keys that are remembered at most; beyond it the verification is repeated instead. */
const REMEMBERED_KEYS = 50_000

/** The keys of the rows that have changed since the target was last compared with the source. */
export class ChangedKeys {
  readonly #tables = new Map<string, { readonly tables: TablePair; readonly keys: Map<string, Key> }>()
  #count = 0

  remember(tables: TablePair, keys: readonly Key[]): void {
    if (this.#count > REMEMBERED_KEYS) return
    const name = tables.source.key
    const known = this.#tables.get(name)?.keys ?? new Map<string, Key>()
    this.#tables.set(name, { tables, keys: known })
    const before = known.size
    for (const key of keys) known.set(JSON.stringify(key), key)
    this.#count += known.size - before
  }

  /** Hands over the rows and begins anew; undefined, and nothing begins, when they were too many. */
  take(): ChangedRows | undefined {
    const taken = this.rows
    if (taken === undefined) return undefined
    this.#tables.clear()
    this.#count = 0
    return taken
  }

  giveBack(rows: ChangedRows): void {
    for (const { tables, keys } of rows) this.remember(tables, keys)
  }

  /** undefined when they were too many. */
  get rows(): ChangedRows | undefined {
    if (this.#count > REMEMBERED_KEYS) return undefined
    return [...this.#tables.values()].map(({ tables, keys }) => ({ tables, keys: [...keys.values()] }))
  }
}
