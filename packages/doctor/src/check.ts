import type { DoctorFinding, DoctorSeverity } from '@freehold/contract'
import type { Facts, Table } from './facts/model.ts'

/** What a check has found: all of a finding that is not the same for each of them. */
interface Found {
  readonly object: string
  readonly found: string
  /** Statements that mend it, in the order in which they are to be run. */
  readonly sql?: readonly string[]
  /** Set where this one weighs differently. */
  readonly severity?: DoctorSeverity
  /** Set where this one is mended differently. */
  readonly fix?: string
}

/** One thing that is looked for in the catalogs. */
export interface Check {
  /** Public interface: never renamed and never reused. */
  readonly id: string
  readonly severity: DoctorSeverity
  readonly why: string
  readonly fix: string
  readonly find: (facts: Facts) => Found[]
}

/** Runs a check. */
export function runCheck(check: Check, facts: Facts): DoctorFinding[] {
  return check.find(facts).map((found) => ({
    check: check.id,
    severity: found.severity ?? check.severity,
    object: found.object,
    found: found.found,
    why: check.why,
    fix: found.fix ?? check.fix,
    sql: [...(found.sql ?? [])],
  }))
}

/** Tables whose rows belong to tenants, partitions among them. */
export function tenantTables(facts: Facts): Table[] {
  return facts.tables.filter(({ kind, tenantColumn }) => kind === 'tenant' && tenantColumn !== null)
}

/** Tenant tables that are not partitions of one: keys and indexes are those of the whole. */
export function wholeTenantTables(facts: Facts): Table[] {
  return tenantTables(facts).filter(({ root }) => root === null)
}
