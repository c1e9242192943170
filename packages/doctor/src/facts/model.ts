import type { FreeholdSchema } from './freehold-schema.ts'

/** What the application's role may do with a relation, by itself, through other roles or as everybody. */
export interface Rights {
  readonly select: boolean
  readonly insert: boolean
  readonly update: boolean
  readonly delete: boolean
  readonly truncate: boolean
  readonly references: boolean
  readonly trigger: boolean
}

export interface Column {
  readonly name: string
  /** As `format_type` says it: `uuid`, `character varying(20)`. */
  readonly type: string
  readonly baseType: string
  readonly typeKind: 'base' | 'enum' | 'array' | 'other'
  readonly enumLabels: readonly string[]
  readonly notNull: boolean
  /** The default's expression, if there is one. */
  readonly default: string | null
  readonly isIdentityAlways: boolean
  readonly isIdentity: boolean
  readonly isGenerated: boolean
}

/**
 * tenant: has the tenant column. reference: declared to hold the same rows for everybody. registry: the list of
 * tenants, to which tenant columns refer. undeclared: none of them.
 */
export type TableKind = 'tenant' | 'reference' | 'registry' | 'undeclared'

export interface Table {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** `schema.name`, for people. */
  readonly label: string
  /** The same, quoted, for SQL. */
  readonly sql: string
  readonly kind: TableKind
  /** Declared in freehold.managed_table. */
  readonly isManaged: boolean
  readonly isPartitioned: boolean
  /** The table of which this is a partition, at the top. */
  readonly root: number | null
  readonly owner: string
  readonly ownerBypassesRls: boolean
  readonly rlsEnabled: boolean
  readonly rlsForced: boolean
  readonly tenantColumn: string | null
  readonly columns: readonly Column[]
  readonly rights: Rights
  readonly publicRights: boolean
  /** Triggers of the product's own that fire on INSERT. */
  readonly hasInsertTriggers: boolean
}

type PolicyCommand = 'all' | 'select' | 'insert' | 'update' | 'delete'

export interface Policy {
  readonly table: number
  readonly name: string
  readonly command: PolicyCommand
  readonly isPermissive: boolean
  readonly forPublic: boolean
  readonly appliesToApp: boolean
  readonly using: string | null
  readonly check: string | null
}

export interface Index {
  readonly table: number
  readonly name: string
  /** The columns in their order; null: an expression. */
  readonly columns: readonly (string | null)[]
  readonly isUnique: boolean
  readonly isPrimary: boolean
  /** The constraint that it serves. */
  readonly constraint: string | null
  readonly isPartial: boolean
  readonly isReplicaIdentity: boolean
  readonly definition: string
  readonly sql: string
}

export interface ForeignKey {
  readonly name: string
  readonly table: number
  readonly columns: readonly string[]
  readonly target: number
  readonly targetColumns: readonly string[]
  readonly onDelete: string
  readonly onUpdate: string
  readonly isDeferrable: boolean
  readonly isDeferred: boolean
}

export interface CheckConstraint {
  readonly table: number
  readonly name: string
  readonly columns: readonly string[]
  readonly expression: string
}

export interface View {
  readonly label: string
  readonly sql: string
  readonly isMaterialized: boolean
  readonly isInvoker: boolean
  readonly owner: string
  readonly ownerBypassesRls: boolean
  readonly readableByApp: boolean
  readonly columns: readonly string[]
  /** Tables that it reads, also through other views, but not through freehold.entered and freehold.entered_to_write. */
  readonly reads: readonly number[]
  /** Those of them that are Freehold's own and not for product code. */
  readonly readsOfFreehold: readonly string[]
}

export interface DatabaseFunction {
  readonly label: string
  readonly sql: string
  readonly schema: string
  readonly owner: string
  readonly ownerBypassesRls: boolean
  readonly isDefiner: boolean
  readonly isLeakproof: boolean
  readonly isTrigger: boolean
  readonly isProcedure: boolean
  readonly hasSearchPath: boolean
  readonly executableByApp: boolean
}

/** A rule that rewrites statements on a table. */
export interface Rule {
  readonly table: number
  readonly name: string
}

/** An object that is found instead of PostgreSQL's own of the same name, and whose owner nobody vouches for. */
export interface Shadow {
  readonly label: string
  readonly owner: string
  /** Null where something depends on it. */
  readonly drop: string | null
}

export interface AppRole {
  readonly name: string
  readonly sql: string
  readonly isSuperuser: boolean
  readonly bypassesRls: boolean
  readonly createsRoles: boolean
  readonly createsDatabases: boolean
  readonly replicates: boolean
  readonly ownsDatabase: boolean
  /** Roles that it was made a member of, with what is reached through each: `postgres (superuser)`. */
  readonly memberships: readonly { readonly role: string; readonly reaches: readonly string[] }[]
  /** Objects that it owns: `table public.orders`. */
  readonly owns: readonly { readonly what: string; readonly sql: string }[]
  /** Schemas in which it may create objects. */
  readonly createsIn: readonly string[]
  /** `row_security=off`, with where that is set. */
  readonly settings: readonly {
    readonly name: string
    readonly value: string
    readonly isForDatabase: boolean
    readonly isForRole: boolean
  }[]
}

/** Things around the tables that carry data past row security. */
export interface Surroundings {
  readonly settableSequences: readonly { readonly label: string; readonly sql: string }[]
  readonly publicationsOfAllTables: readonly string[]
  /** Functions that reach from one tenant to another and that the application may execute, by what they do. */
  readonly sharedFunctions: readonly { readonly why: string; readonly functions: readonly string[] }[]
  readonly settingsWritable: boolean
  readonly foreignTables: readonly { readonly label: string; readonly sql: string }[]
  readonly foreignServers: readonly string[]
  readonly dblinkFunctions: readonly string[]
  readonly eventTriggers: readonly { readonly name: string; readonly calls: string }[]
  readonly defaultRights: readonly {
    readonly grantor: string
    readonly schema: string | null
    readonly grantee: string
  }[]
}

/** What is left in the schema `freehold` of work that has ended or died; null where it may not be read. */
export interface Leftovers {
  readonly vanishedTables: readonly number[]
  readonly staleStreams: readonly { readonly stream: string; readonly hours: number }[]
  readonly expiredFences: readonly { readonly tenant: string; readonly hours: number }[]
  readonly idleSlots: readonly string[]
  /** Publications of moves, without the slot that belongs to each. */
  readonly unreadPublications: readonly string[]
  /** Triggers by which a move follows a tenant, while nobody who works on the move is connected. */
  readonly unreadTriggers: readonly {
    readonly stream: string
    readonly table: string
    readonly triggers: readonly string[]
  }[]
}

/** All that the checks look at, read in one snapshot. */
export interface Facts {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly serverVersion: string
  readonly serverVersionNumber: number
  readonly connectedAs: string
  /** Why code of the inspected database must not run on this connection; empty where it may. */
  readonly powers: readonly string[]
  readonly hasFreehold: boolean
  readonly tenantColumn: string
  readonly app: AppRole
  readonly tables: readonly Table[]
  readonly policies: readonly Policy[]
  readonly indexes: readonly Index[]
  readonly foreignKeys: readonly ForeignKey[]
  readonly checkConstraints: readonly CheckConstraint[]
  readonly views: readonly View[]
  readonly functions: readonly DatabaseFunction[]
  readonly surroundings: Surroundings
  readonly leftovers: Leftovers | null
  /** Schemas that belong to one tenant each; null where this connection may not know. */
  readonly tenantSchemas: readonly string[] | null
  /** Settings by which policies tell the tenants apart: `app.tenant_id`. */
  readonly tenantSettings: readonly string[]
  readonly rules: readonly Rule[]
  readonly shadows: readonly Shadow[]
  /** What stands in Freehold's schemas; null without them. */
  readonly freehold: FreeholdSchema | null
}
