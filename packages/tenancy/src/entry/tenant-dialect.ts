import type { TenantId } from '@freehold/contract'
import type { PipelineOptions } from '@freehold/postgres'
import {
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryCompiler,
  type TransactionSettings,
} from 'kysely'
import { PredicateCompiler } from '../predicates/predicate-compiler.ts'
import type { TenantPredicates } from '../predicates/tenant-predicates.ts'
import type { Entering } from './entering.ts'
import { TenantConnection } from './tenant-connection.ts'

/** Kysely for one tenant: PostgreSQL's SQL, and a driver that finds the tenant's home each time work begins. */
export class TenantDialect implements Dialect {
  readonly #entering: Entering
  readonly #tenantId: TenantId
  readonly #options: PipelineOptions
  readonly #destroyed: () => void
  readonly #predicates: TenantPredicates | undefined

  /**
   * @param destroyed called when the Kysely instance is destroyed; nothing that is shared is.
   * @param predicates added to every query; undefined: row security is the only wall.
   */
  constructor(
    entering: Entering,
    tenantId: TenantId,
    options: PipelineOptions,
    destroyed: () => void,
    predicates?: TenantPredicates,
  ) {
    this.#entering = entering
    this.#tenantId = tenantId
    this.#options = options
    this.#destroyed = destroyed
    this.#predicates = predicates
  }

  createDriver(): Driver {
    return new TenantDriver(
      () => new TenantConnection(this.#entering, this.#tenantId, this.#options),
      this.#destroyed,
    )
  }

  createQueryCompiler(): QueryCompiler {
    return this.#predicates ? new PredicateCompiler(this.#predicates) : new PostgresQueryCompiler()
  }

  createAdapter(): DialectAdapter {
    return new PostgresAdapter()
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new PostgresIntrospector(db)
  }
}

const MAX_SPARE = 16

class TenantDriver implements Driver {
  readonly #connect: () => TenantConnection
  readonly #destroyed: () => void
  /** Kysely remembers every connection that it has ever seen, so a new one for every query would weigh on it. */
  readonly #spare: TenantConnection[] = []

  constructor(connect: () => TenantConnection, destroyed: () => void) {
    this.#connect = connect
    this.#destroyed = destroyed
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#spare.pop() ?? this.#connect()
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    await own(connection).begin(settings)
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await own(connection).commit()
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await own(connection).rollback()
  }

  async savepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await own(connection).transaction.savepoint(name)
  }

  async rollbackToSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await own(connection).transaction.rollbackToSavepoint(name)
  }

  async releaseSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await own(connection).transaction.releaseSavepoint(name)
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    const released = own(connection)
    if (released.inTransaction) await released.release()
    if (this.#spare.length < MAX_SPARE) this.#spare.push(released)
  }

  async destroy(): Promise<void> {
    this.#destroyed()
  }
}

/** Kysely hands a driver only the connections that it got from it. */
function own(connection: DatabaseConnection): TenantConnection {
  if (connection instanceof TenantConnection) return connection
  throw new TypeError('The connection is not of this driver.')
}
