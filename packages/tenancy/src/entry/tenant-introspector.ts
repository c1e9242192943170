import {
  type DatabaseIntrospector,
  type DatabaseMetadataOptions,
  type Kysely,
  PostgresIntrospector,
  type SchemaMetadata,
  sql,
  type TableMetadata,
} from 'kysely'

/** Shows the tenant's own schema and the shared ones; not those of other tenants, nor Freehold's. */
export class TenantIntrospector implements DatabaseIntrospector {
  readonly #db: Kysely<unknown>
  readonly #all: PostgresIntrospector

  constructor(db: Kysely<unknown>) {
    this.#db = db
    this.#all = new PostgresIntrospector(db)
  }

  async getSchemas(): Promise<SchemaMetadata[]> {
    const hidden = await this.#hiddenSchemas()
    return (await this.#all.getSchemas()).filter(({ name }) => !hidden.has(name))
  }

  async getTables(options?: DatabaseMetadataOptions): Promise<TableMetadata[]> {
    const hidden = await this.#hiddenSchemas()
    return (await this.#all.getTables(options)).filter(({ schema }) => !hidden.has(schema ?? ''))
  }

  async #hiddenSchemas(): Promise<ReadonlySet<string>> {
    const { rows } = await sql<{ name: string }>`
      select nspname as name from pg_catalog.pg_namespace
      where nspname in ('freehold', 'freehold_migrations') or freehold.is_schema_of_another(nspname)
    `.execute(this.#db.withoutPlugins())
    return new Set(rows.map(({ name }) => name))
  }
}
