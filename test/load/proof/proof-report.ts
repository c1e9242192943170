import type { DatabaseAddress } from '@freehold/postgres'

export interface ProveOptions {
  /** Where each tenant of the ledger lives now, as superuser: the proof looks past the router and row security. */
  readonly homes: readonly { readonly tenantId: string; readonly database: DatabaseAddress }[]
  /** Further databases in which no tenant's row may be, an abandoned silo for example. */
  readonly empty?: readonly DatabaseAddress[]
}

/** What was found wrong with a row or an entity. */
export type Finding = 'lost' | 'duplicated' | 'wrong' | 'foreign'

export interface ProofSample {
  readonly finding: Finding
  readonly database: string
  readonly tenantId: string
  readonly table: string
  /** The key of the row, never its content. */
  readonly key: string
}

export interface ProofReport {
  /** Whether nothing was found. */
  readonly ok: boolean
  /** Rows that were read and compared. */
  readonly rows: number
  /** Acknowledged writes that are not there: rows missing, in an older state, or back after their deletion. */
  readonly writesLost: number
  /** Rows that no acknowledged write explains. */
  readonly writesDuplicated: number
  /** Rows whose content is none that they ever had, and transactions of which only a part is there. */
  readonly rowsWrong: number
  /** Rows in a database that is not their tenant's home, and rows with another tenant's content. */
  readonly foreignRows: number
  /** Writes whose outcome had been unknown. */
  readonly uncertain: { readonly applied: number; readonly notApplied: number }
  /** Up to ten. */
  readonly samples: readonly ProofSample[]
}
