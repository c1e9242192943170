import type { ChangeStreamChoice, MoveDetail, Tenant } from '@freehold/contract'
import { type DatabaseAddress, withClient } from '@freehold/postgres'
import { asSuperuser } from '../kit/databases.ts'
import { watch } from '../kit/end-of-move.ts'
import { exactContent } from './exact-content.ts'
import { leftovers } from './leftovers.ts'
import { prepareZooGround, type ZooGround } from './zoo-ground.ts'
import { fillZoo } from './zoo-rows.ts'

/** What a move pauses for, until somebody resumes or cancels it. Everything else ends it. */
const PAUSES = ['schema_mismatch', 'table_without_tenant_column']

interface SchemaChange {
  /** As the owner at the source. */
  readonly change: string
  /** A write of the tenant (`:tenant`) that follows it. */
  readonly write?: string
  readonly undo?: string
  readonly codes: readonly string[]
  /** Done before the copy, it is copied as it is then. */
  readonly harmlessBeforeCopy?: boolean
}

const schemaChanges = {
  'a new column': {
    change: "alter table annex.shelf add column extra text default 'x'",
    write: "insert into annex.shelf values (':tenant', :new, 'note', 'extra')",
    undo: 'alter table annex.shelf drop column extra',
    codes: ['schema_mismatch'],
  },
  'a new column that nobody writes to': {
    change: "alter table annex.shelf add column extra text default 'x'",
    undo: 'alter table annex.shelf drop column extra',
    codes: ['schema_mismatch'],
  },
  'a dropped column': {
    change: 'alter table annex.shelf drop column note',
    write: "insert into annex.shelf values (':tenant', :new)",
    undo: 'alter table annex.shelf add column note text',
    codes: ['schema_mismatch'],
  },
  'a column that is dropped and made again': {
    change: 'alter table annex.shelf drop column note; alter table annex.shelf add column note text',
    codes: ['verification_failed'],
    harmlessBeforeCopy: true,
  },
  'a renamed column': {
    change: 'alter table annex.shelf rename column note to remark',
    write: "insert into annex.shelf values (':tenant', :new, 'note')",
    undo: 'alter table annex.shelf rename column remark to note',
    codes: ['schema_mismatch'],
  },
  'another type of a column': {
    change: 'alter table annex.shelf alter column id type bigint',
    write: "insert into annex.shelf values (':tenant', 8589934592 + :new, 'note')",
    undo: `alter table annex.shelf no force row level security; delete from annex.shelf where id > 2147483647;
      alter table annex.shelf force row level security; alter table annex.shelf alter column id type integer`,
    codes: ['schema_mismatch'],
  },
  'a new tenant table': {
    change: `create table later (tenant_id uuid not null, id integer not null, primary key (tenant_id, id));
      select freehold.protect_table('later')`,
    write: "insert into later values (':tenant', 1)",
    undo: "delete from freehold.managed_table where relation = 'later'::regclass; drop table later",
    codes: ['schema_mismatch'],
  },
  'a new table that is not declared': {
    change: 'create table later (id integer)',
    undo: 'drop table later',
    codes: ['table_without_tenant_column'],
  },
  'a dropped table': {
    change:
      'delete from freehold.managed_table where relation = \'"annex.shelf"\'::regclass; drop table "annex.shelf"',
    undo: `create table "annex.shelf" (tenant_id uuid not null, id integer not null, note text, primary key (tenant_id, id));
      select freehold.protect_table('"annex.shelf"')`,
    codes: ['schema_mismatch'],
  },
  'a table that is dropped and made again': {
    change: `delete from freehold.managed_table where relation = 'annex.shelf'::regclass; drop table annex.shelf;
      create table annex.shelf (tenant_id uuid not null, id integer not null, note text, primary key (tenant_id, id));
      select freehold.protect_table('annex.shelf')`,
    write: "insert into annex.shelf values (':tenant', :new, 'in the new table')",
    codes: ['schema_mismatch'],
  },
  'a renamed table': {
    change: 'alter table loose_keys rename to looser_keys',
    write: "insert into looser_keys values (':tenant', :new, 'word')",
    undo: 'alter table looser_keys rename to loose_keys',
    codes: ['schema_mismatch'],
  },
  'a TRUNCATE': {
    change: 'truncate annex.shelf',
    write: "insert into annex.shelf values (':tenant', :new, 'after')",
    codes: ['change_stream_failed'],
  },
  'a TRUNCATE of one partition': {
    change: 'truncate order_events_2026_11',
    codes: ['verification_failed'],
    harmlessBeforeCopy: true,
  },
  'a detached partition': {
    change: 'alter table order_events detach partition order_events_2026_11',
    undo: `alter table order_events attach partition order_events_2026_11
      for values from ('2026-11-01 00:00:00+00') to ('2026-12-01 00:00:00+00')`,
    codes: ['table_without_tenant_column'],
  },
  'a new reference table': {
    change: "create table units (code text primary key); select freehold.declare_reference_table('units')",
    undo: "delete from freehold.managed_table where relation = 'units'::regclass; drop table units",
    codes: ['schema_mismatch'],
  },
} as const satisfies Record<string, SchemaChange>

/** A change of the source's schema, when it happens, and by which stream the move is that has to notice it. */
export interface SchemaChangeCase {
  readonly name: keyof typeof schemaChanges
  readonly at: string
  readonly changeStream: 'logical' | 'triggers'
}

export function nameOfCase({ name, at, changeStream }: SchemaChangeCase): string {
  return `${name} at ${at}, by ${changeStream}`
}

/** Every change, at every phase in which it matters, under either stream. */
export function everySchemaChange(): SchemaChangeCase[] {
  return (['logical', 'triggers'] as const).flatMap((changeStream) =>
    names.flatMap((name) => phasesOf(name).map((at) => ({ name, at, changeStream }))),
  )
}

/** What `npm test` has time for: every change at one of its phases, every third by triggers. */
export function someSchemaChanges(): SchemaChangeCase[] {
  return names.flatMap((name, index) => {
    const phases = phasesOf(name)
    const changeStream = index % 3 === 2 ? 'triggers' : 'logical'
    // Neither every stream nor every kind of change keeps to the same phase.
    return phases
      .filter((_, phase) => phase === (index + Math.floor(index / 3)) % phases.length)
      .map((at) => ({ name, at, changeStream }))
  })
}

const names = Object.keys(schemaChanges) as (keyof typeof schemaChanges)[]

/** What nobody writes to is found by looking, at the latest under the fence. */
function phasesOf(name: keyof typeof schemaChanges): string[] {
  const { write, harmlessBeforeCopy = false }: SchemaChange = schemaChanges[name]
  const last = write === undefined ? 'cutover.fenced' : 'ready.entered'
  return ['backfill.entered', 'verify.entered', last].slice(harmlessBeforeCopy ? 1 : 0)
}

/** A tenant of the zoo whose tables are changed while it moves. */
export interface ChangingGround {
  readonly ground: ZooGround
  readonly tenant: Tenant
  readonly asOwner: (sql: string) => Promise<void>
  /** @returns what is wrong with a move under which the schema was changed: it must pause or end, with an error that says so. */
  run(which: SchemaChangeCase): Promise<string[]>
  remove(): Promise<void>
}

export async function prepareChangingGround(): Promise<ChangingGround> {
  const ground = await prepareZooGround()
  const pool = asSuperuser(ground.us.cluster, 'pool')
  const asOwner = (sql: string) => run(ground.us.as('freehold_owner', 'pool'), sql)
  const tenant = await ground.tenant('changing', 20)
  await fillZoo(pool, tenant.id, 0, ground.oldestVersion)
  let rows = 0
  const asTenant = (sql: string, from: number) =>
    run(pool, sql.replaceAll(':tenant', tenant.id).replaceAll(':new', String(++rows + from)))
  return {
    ground,
    tenant,
    asOwner,
    async run({ name, at, changeStream }) {
      const { change, write, undo, codes }: SchemaChange = schemaChanges[name]
      await asTenant(ROWS_TO_LOSE, 10_000)
      let content: Record<string, string[]> | undefined
      const happens = async () => {
        await asOwner(change)
        if (write !== undefined) await asTenant(write, 20_000)
        content = await exactContent(pool, tenant.id)
      }
      let met: string | undefined
      const ended = await moveUnder(ground, tenant, changeStream, at, happens, async (paused) => {
        met = paused.waiting?.for === 'resume' ? paused.waiting.because?.code : undefined
        await ground.catalog.operations.requestCancel(paused.id)
      })
      const problems = ended.phase === 'aborted' ? [] : [`the move is ${ended.phase}`]
      met ??= ended.error?.code
      if (!codes.includes(met ?? '')) problems.push(`${met}: ${ended.error?.detail}`)
      const isPaused = ended.error?.code === 'move_cancelled'
      if (isPaused !== PAUSES.includes(met ?? '')) problems.push(`it ended as ${ended.error?.code}`)
      if (JSON.stringify(await exactContent(pool, tenant.id)) !== JSON.stringify(content)) {
        problems.push('the tenant is not at its source as it was')
      }
      const { epoch } = await ground.catalog.placements.home(tenant.id)
      if (epoch !== tenant.placement.epoch) problems.push(`the catalog has it at epoch ${epoch}`)
      problems.push(...(await leftovers(ground, ended)).map((left) => `left: ${JSON.stringify(left)}`))
      if (undo !== undefined) await asOwner(undo)
      return problems
    },
    remove: () => ground.remove(),
  }
}

/** So that every case has rows to lose. */
const ROWS_TO_LOSE = `insert into annex.shelf values (':tenant', :new, 'note'); insert into "annex.shelf" values (':tenant', :new, 'note');
  insert into order_events (tenant_id, order_id, kind, actor, occurred_at)
    select tenant_id, id, 'seen', 'test', '2026-11-11' from orders where tenant_id = ':tenant';
  insert into loose_keys values (':tenant', :new, 'w')`

/**
 * Moves a tenant, and has something happen the first time that its worker comes by a barrier.
 *
 * @param paused what to do about a move that has paused by itself.
 */
export async function moveUnder(
  ground: ZooGround,
  tenant: Tenant,
  changeStream: ChangeStreamChoice,
  at: string,
  happens: () => Promise<void>,
  paused: (move: MoveDetail) => Promise<unknown> = async () => undefined,
): Promise<MoveDetail> {
  let happened = false
  const { id } = await ground.startMove(tenant, 'eu', changeStream)
  const engine = ground.zooEngine({
    owner: id,
    barrier: async (name) => {
      if (name !== at || happened) return
      happened = true
      await happens()
    },
  })
  const halted = await ground.endedOr(id, ({ waiting }) => waiting?.for === 'resume')
  if (halted.finishedAt === null) await paused(halted)
  const ended = await ground.ended(id)
  // A server that did not let the move in to clean up is left to the janitor.
  await watch(
    () => ground.catalog.ledger.unreleased(),
    (left) => left.length === 0,
  )
  await engine.stop()
  return ended
}

async function run(address: DatabaseAddress, sql: string): Promise<void> {
  await withClient(address, 'test', async (client) => {
    await client.query(sql)
  })
}
