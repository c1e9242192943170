import { FreeholdError } from '@freehold/contract'
import type { TableNode } from 'kysely'
import { z } from 'zod'

/**
 * The product's tables, by their names in the database. A name with a schema (`sales.orders`) is meant in that schema
 * only; a tenant table without one is meant in every schema, a reference table without one only where a query names
 * none.
 *
 * @example
 * ```ts
 * createRouter({ source, entrySecret, tables: { tenant: ['customers', 'orders'], reference: ['countries'] } })
 * ```
 */
export interface DeclaredTables {
  /** Tables and views whose rows belong to tenants: each with its tenant column, or a list where all have the same. */
  readonly tenant: Readonly<Record<string, string>> | readonly string[]
  /** The tenant column of a list; `tenant_id` unless set. */
  readonly tenantColumn?: string
  /** Tables and views without a tenant column, which every tenant may read. */
  readonly reference?: readonly string[]
}

const name = z.string().min(1).max(127)

const tablesSchema = z
  .object({
    tenant: z.union([z.record(name, name), z.array(name)]),
    tenantColumn: name.default('tenant_id'),
    reference: z.array(name).default([]),
  })
  .transform(({ tenant, tenantColumn, reference }) => ({
    tenant: new Map(
      Array.isArray(tenant) ? tenant.map((table) => [table, tenantColumn]) : Object.entries(tenant),
    ),
    reference: new Set(reference),
  }))
  .refine(({ tenant, reference }) => [...tenant.keys()].every((table) => !reference.has(table)), {
    message: 'a table is declared as tenant and as reference',
  })

/** What a query may name, looked up by the names that stand in it. */
export class TableCatalog {
  readonly #tenant: ReadonlyMap<string, string>
  readonly #reference: ReadonlySet<string>
  readonly #tenantColumns: ReadonlySet<string>

  /** @throws FreeholdError `config_invalid`. */
  constructor(tables: DeclaredTables) {
    const parsed = tablesSchema.safeParse(tables)
    if (!parsed.success) {
      const issues = parsed.error.issues.map(({ path, message }) => ({
        path: ['tables', ...path].join('.'),
        message,
      }))
      const list = issues.map((issue) => `${issue.path}: ${issue.message}`).join('; ')
      throw new FreeholdError('config_invalid', `Wrong tables of the router: ${list}.`, { issues })
    }
    this.#tenant = parsed.data.tenant
    this.#reference = parsed.data.reference
    this.#tenantColumns = new Set(this.#tenant.values())
  }

  /**
   * @returns the tenant column, or undefined for a reference table.
   * @throws FreeholdError `table_not_declared`.
   */
  tenantColumnOf({ table: { schema, identifier } }: TableNode): string | undefined {
    const qualified = schema ? `${schema.name}.${identifier.name}` : identifier.name
    const column = this.#tenant.get(qualified)
    if (column !== undefined) return column
    if (this.#reference.has(qualified)) return undefined
    const anywhere = schema && this.#tenant.get(identifier.name)
    if (anywhere !== undefined) return anywhere
    throw new FreeholdError(
      'table_not_declared',
      `The table ${qualified} is declared neither as a tenant table nor as a reference table.`,
      { details: { table: qualified } },
    )
  }

  /** Whether some tenant table calls its tenant column so. */
  isTenantColumn(column: string): boolean {
    return this.#tenantColumns.has(column)
  }
}
