import { withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { exactContent } from './exact-content.ts'
import { leftovers } from './leftovers.ts'
import { prepareZooGround, type ZooGround } from './zoo-ground.ts'
import { fillZoo } from './zoo-rows.ts'

/** The source's schema changes under a move: it ends with an error that says so, and never without the rows. */
const ground: ZooGround = await prepareZooGround()
t.teardown(() => ground.remove())
t.setTimeout(300_000)
const pool = asSuperuser(ground.us.cluster, 'pool')

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

const schemaChanges: Readonly<Record<string, SchemaChange>> = {
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
}

const asOwner = (sql: string) =>
  withClient(ground.us.as('freehold_owner', 'pool'), 'test', async (client) => {
    await client.query(sql)
  })

const tenant = await ground.tenant('changing', 20)
let rows = 0
/** So that every case has rows to lose. */
const refill = () =>
  withClient(pool, 'test', async (client) => {
    const sql = `insert into annex.shelf values (':tenant', :new, 'note'); insert into "annex.shelf" values (':tenant', :new, 'note');
      insert into order_events (tenant_id, order_id, kind, actor, occurred_at)
        select tenant_id, id, 'seen', 'test', '2026-11-11' from orders where tenant_id = ':tenant';
      insert into loose_keys values (':tenant', :new, 'w')`
    await client.query(sql.replaceAll(':tenant', tenant.id).replaceAll(':new', String(++rows + 10_000)))
  })
await fillZoo(pool, tenant.id, 0)

for (const [name, { change, write, undo, codes, harmlessBeforeCopy }] of Object.entries(schemaChanges)) {
  // What nobody writes to is found by looking, at the latest under the fence.
  const last = write === undefined ? 'cutover.fenced' : 'ready.entered'
  for (const phase of ['backfill.entered', 'verify.entered', last].slice(harmlessBeforeCopy ? 1 : 0)) {
    t.test(`${name} at ${phase}`, async (t) => {
      await refill()
      let content: Record<string, string[]> | undefined
      const started = await ground.startMove(tenant)
      const engine = ground.zooEngine({
        owner: started.id,
        barrier: async (at) => {
          if (at !== phase || content !== undefined) return
          content = {}
          await asOwner(change)
          if (write !== undefined) {
            const sql = write.replaceAll(':tenant', tenant.id).replaceAll(':new', String(++rows + 20_000))
            await withClient(pool, 'test', (client) => client.query(sql))
          }
          content = await exactContent(pool, tenant.id)
        },
      })
      const ended = await ground.ended(started.id)
      await engine.stop()
      t.equal(ended.phase, 'aborted')
      t.ok(codes.includes(ended.error?.code ?? ''), `${ended.error?.code}: ${ended.error?.detail}`)
      t.same(await exactContent(pool, tenant.id), content, 'the tenant is at its source, as it was')
      t.equal((await ground.catalog.tenants.get(tenant.id)).placement.epoch, tenant.placement.epoch)
      t.same(await leftovers(ground, ended), [])
      if (undo !== undefined) await asOwner(undo)
    })
  }
}

t.test('a table that is rewritten as it was is verified again, and the move completes', async (t) => {
  let rewritten = false
  const started = await ground.startMove(tenant)
  const engine = ground.zooEngine({
    barrier: async (name) => {
      if (name !== 'ready.entered' || rewritten) return
      rewritten = true
      await asOwner('vacuum full heavy')
    },
  })
  const ended = await ground.ended(started.id)
  await engine.stop()
  t.equal(ended.phase, 'completed')
  t.equal(
    ended.events.filter(({ message }) => /equal on both sides/.test(message)).length,
    2,
    'verified twice',
  )
})
