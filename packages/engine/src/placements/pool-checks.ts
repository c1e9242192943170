import { randomBytes } from 'node:crypto'
import { quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { TenantScope } from '../database/entered.ts'
import { expectResident } from '../database/resident.ts'
import { readTableFacts, type TableFacts } from '../database/table-facts.ts'
import { tableKey } from '../database/table-key.ts'
import { matchTables, type TableShape, tenantTables } from '../database/tables.ts'
import { checkTables } from '../preflight/checks/tables.ts'
import { type Finding, isBlocking } from '../preflight/finding.ts'
import { checkPoolReferences } from './pool-references.ts'

export interface PoolCheck {
  /** Connected as freehold_mover to the pool, in no transaction. */
  readonly target: ClientBase
  /** The epoch at which the tenant would live there. */
  readonly epoch: number
  /** The tables where the tenant lives now, and what is read at that end. */
  readonly source: {
    readonly client: ClientBase
    readonly scope: TenantScope
    readonly facts: readonly TableFacts[]
  }
}

/**
 * Finds out, before anything is created, whether the shared tables of a pool can take the tenant: they are those that it has,
 * none of its rows is there, and no key can be in the way of others' that does not tell tenants apart. A collision that only
 * the rows themselves can show (an address that must be unique among all tenants) ends the copy with the same code.
 */
export async function checkPool({ target, epoch, source }: PoolCheck): Promise<Finding[]> {
  const facts = await readTableFacts(target, 'public')
  const unfit = checkTables(facts, 'public').map((finding) => ({
    ...finding,
    found: `In the target pool, ${finding.found}`,
  }))
  const { pairs, different } = matchTables(
    tenantTables(source.facts, source.scope.schema),
    tenantTables(facts, 'public'),
  )
  const amiss = [...unfit, ...different.map(differs)]
  // Rows are not looked at in tables that may not keep tenants apart, or are not those of the source.
  if (amiss.some(isBlocking)) return amiss
  const shared = pairs.map((pair) => pair.target)
  return [
    ...amiss,
    ...(await checkAbsence(target, source.scope.tenantId, epoch, shared)),
    ...(await checkKeys(target, shared)),
    ...(await checkPoolReferences({
      source: source.client,
      target,
      scope: source.scope,
      facts: { source: source.facts, target: facts },
    })),
  ]
}

function differs(table: string): Finding {
  return {
    code: 'table_differs',
    object: table,
    found: `${table} is not the same table at the source and in the target pool.`,
    details: { table },
  }
}

/** Looks as the tenant itself, under a mark that exists for as long as the transaction, which is rolled back. */
async function checkAbsence(
  target: ClientBase,
  tenantId: string,
  epoch: number,
  tables: readonly TableShape[],
): Promise<Finding[]> {
  const occupied = (object: string, found: string): Finding => ({ code: 'target_occupied', object, found })
  await target.query('begin')
  try {
    const mark = await target.query<{ state: string }>(
      'select state from freehold.resident where tenant_id = $1 and schema_name is null for update',
      [tenantId],
    )
    const state = mark.rows[0]?.state
    if (state !== undefined && state !== 'moved') {
      return [occupied(tenantId, `The tenant is marked as ${state} in the target pool.`)]
    }
    const entryKey = randomBytes(32).toString('hex')
    await expectResident(target, { tenantId, epoch, entryKey })
    await target.query("select set_config('freehold.entry', $1, true)", [entryKey])
    const findings: Finding[] = []
    for (const { table, key } of tables) {
      const found = await target.query(`select from ${quoteTable(table)} limit 1`)
      if (found.rowCount !== 0)
        findings.push(occupied(key, `The target pool has rows of the tenant in ${key}.`))
    }
    return findings
  } finally {
    await target.query('rollback').catch(() => undefined)
  }
}

const sharedKeySchema = z.object({
  schema: z.string(),
  name: z.string(),
  index: z.string(),
  deferrable: z.boolean(),
  sequence: z.string().nullable(),
})

/** Keys of shared tables that the tenant column is no part of, with the sequence that a column of theirs draws from. */
const SHARED_KEYS = `
  select nspname as schema, class.relname as name, indexrelid::regclass::name as index, not indimmediate as deferrable,
    (select min(sequence.oid::regclass::text)
     from pg_depend dependency
     left join pg_attrdef on dependency.classid = 'pg_attrdef'::regclass and pg_attrdef.oid = dependency.objid
       and dependency.refclassid = 'pg_class'::regclass
     join pg_class sequence on sequence.relkind = 'S' and sequence.oid = case
       when pg_attrdef.oid is not null then dependency.refobjid
       when dependency.classid = 'pg_class'::regclass and dependency.deptype in ('a', 'i') then dependency.objid end
     where (pg_attrdef.adrelid = indrelid and pg_attrdef.adnum = any (indkey))
       or (dependency.refobjid = indrelid and dependency.refobjsubid = any (indkey) and dependency.refobjsubid > 0)
    ) as sequence
  from pg_index
  join pg_class class on class.oid = indrelid
  join pg_namespace on pg_namespace.oid = class.relnamespace
  join freehold.managed_table on managed_table.relation = indrelid
  join pg_attribute tenant on tenant.attrelid = indrelid and tenant.attname = managed_table.tenant_column
  where indrelid = any ($1::text[]::regclass[]::oid[]) and (indisunique or indisexclusion)
    and tenant.attnum <> all (indkey)
  order by 1, 2, 3`

/** Sequences behind shared tables of which a session takes several values at once. */
const CACHED_SEQUENCES = `
  select distinct pg_sequence.seqrelid::regclass::text as sequence, seqcache::text as cache
  from pg_depend dependency
  left join pg_attrdef on dependency.classid = 'pg_attrdef'::regclass and pg_attrdef.oid = dependency.objid
  join pg_sequence on seqcache > 1 and seqrelid = case
    when pg_attrdef.adrelid = any ($1::text[]::regclass[]::oid[]) then dependency.refobjid
    when dependency.classid = 'pg_class'::regclass and dependency.refobjid = any ($1::text[]::regclass[]::oid[])
      then dependency.objid end
  order by 1`

async function checkKeys(target: ClientBase, tables: readonly TableShape[]): Promise<Finding[]> {
  const names = [tables.map(({ table }) => quoteTable(table))]
  const keys = z.array(sharedKeySchema).parse((await target.query(SHARED_KEYS, names)).rows)
  const cached = await target.query<{ sequence: string; cache: string }>(CACHED_SEQUENCES, names)
  const collision = (object: string, found: string): Finding => ({ code: 'key_collision', object, found })
  return [
    ...keys.flatMap(({ schema, name, index, deferrable, sequence }) => {
      const because =
        sequence !== null
          ? `takes values from ${sequence}, which source and target each hand out`
          : deferrable
            ? 'is deferrable, so that a collision would not be seen'
            : undefined
      if (because === undefined) return []
      const found = `${index} does not include the tenant column and ${because}.`
      return [collision(tableKey({ schema, name }), found)]
    }),
    ...cached.rows.map(({ sequence, cache }) =>
      collision(
        sequence,
        `Sessions take ${cache} values of ${sequence} at once, and may hold some that the source has used.`,
      ),
    ),
  ]
}
