import type { TenantId } from '@freehold/contract'
import {
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  PostgresAdapter,
  type QueryCompiler,
  type TransactionSettings,
} from 'kysely'
import { PredicateCompiler } from '../predicates/predicate-compiler.ts'
import type { TenantPredicates } from '../predicates/tenant-predicates.ts'
import { TenantQueryCompiler } from '../statements/tenant-query-compiler.ts'
import type { Entering } from './entering.ts'
import type { EntryOptions } from './pooler.ts'
import { TenantConnection } from './tenant-connection.ts'
import { TenantIntrospector } from './tenant-introspector.ts'

/** Kysely for one tenant: PostgreSQL's SQL, and a driver that finds the tenant's home each time work begins. */
export class TenantDialect implements Dialect {
  readonly #entering: Entering
  readonly #tenantId: TenantId
  readonly #options: EntryOptions
  readonly #destroyed: () => void
  readonly #predicates: TenantPredicates | undefined

  /**
   * @param destroyed called when the Kysely instance is destroyed; nothing that is shared is.
   * @param predicates added to every query; undefined: row security is the only wall.
   */
  constructor(
    entering: Entering,
    tenantId: TenantId,
    options: EntryOptions,
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
    return this.#predicates ? new PredicateCompiler(this.#predicates) : new TenantQueryCompiler()
  }

  createAdapter(): DialectAdapter {
    return new PostgresAdapter()
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new TenantIntrospector(db)
  }
}

class TenantDriver implements Driver {
  readonly #connect: () => TenantConnection
  readonly #destroyed: () => void

  constructor(connect: () => TenantConnection, destroyed: () => void) {
    this.#connect = connect
    this.#destroyed = destroyed
  }

  async init(): Promise<void> {}

  /**
   * A new one each time: what `db.connection()` has handed out may be kept beyond its callback, and used then inside
   * the transaction of another request, if that had got the same one.
   */
  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#connect()
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
