import type { TablePair } from '../database/tables.ts'
import type { ChangedRows, Key } from './change-stream.ts'

/** What remembered keys come to at most; beyond it the verification is repeated instead. */
const MOST_REMEMBERED_BYTES = 16 * 1024 * 1024
/** What a key takes here beside its text: some 50,000 of two identifiers are remembered. */
const KEY_COST = 256

/** The keys of the rows that have changed since the target was last compared with the source. */
export class ChangedKeys {
  readonly #tables = new Map<string, { readonly tables: TablePair; readonly keys: Map<string, Key> }>()
  #bytes = 0

  remember(tables: TablePair, keys: readonly Key[]): void {
    if (this.#areTooMany) return
    const name = tables.source.key
    const known = this.#tables.get(name)?.keys ?? new Map<string, Key>()
    this.#tables.set(name, { tables, keys: known })
    for (const key of keys) {
      const text = JSON.stringify(key)
      if (known.has(text)) continue
      known.set(text, key)
      this.#bytes += KEY_COST + text.length
    }
  }

  /** Hands over the rows and begins anew; undefined, and nothing begins, when they were too many. */
  take(): ChangedRows | undefined {
    const taken = this.rows
    if (taken === undefined) return undefined
    this.#tables.clear()
    this.#bytes = 0
    return taken
  }

  giveBack(rows: ChangedRows): void {
    for (const { tables, keys } of rows) this.remember(tables, keys)
  }

  /** undefined when they were too many. */
  get rows(): ChangedRows | undefined {
    if (this.#areTooMany) return undefined
    return [...this.#tables.values()].map(({ tables, keys }) => ({ tables, keys: [...keys.values()] }))
  }

  get #areTooMany(): boolean {
    return this.#bytes > MOST_REMEMBERED_BYTES
  }
}
