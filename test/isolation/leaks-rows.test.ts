// Leaks 7 to 12, 18, 26 and the first half of 27: rows that the database itself gives away; by their numbers in
// docs/isolation.md. Each is tried through the router, and then again with its guard taken out.

import { readFile } from 'node:fs/promises'
import { diagnose } from '@freehold/doctor'
import { withClient } from '@freehold/postgres'
import type { RouterOptions } from '@freehold/tenancy'
import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { PooledConnection } from '../../packages/tenancy/src/connections/pooled-connection.ts'
import type { TestDatabase } from '../kit/tenants.ts'
import {
  asSuperuser,
  type Inhabitant,
  type LeakGround,
  layGrounds,
  onEachGround,
  readNames,
  tableOf,
} from './leaks/leak-ground.ts'
import {
  withChange,
  withMethod,
  withoutRowSecurity,
  withPolicy,
  withPreviousTenantPersisting,
} from './leaks/mutations.ts'
import { told } from './told.ts'

const grounds = await layGrounds('leaks-rows')
const tell = (work: Promise<unknown>) => work.then(told, told)

/** What the attacker is told when it runs a statement through the router, in and outside of transactions. */
async function runAsAttacker(ground: LeakGround, text: string): Promise<string> {
  const router = ground.router()
  const db = router.forTenant(ground.attacker.id)
  try {
    const alone = await tell(sql.raw(text).execute(db))
    const inside = await tell(db.transaction().execute((trx) => sql.raw(text).execute(trx)))
    return alone + inside
  } finally {
    await router.close()
  }
}

/** Ids of what the doctor finds in a database. */
async function findings(database: TestDatabase): Promise<string[]> {
  const report = await diagnose(database.superuser, { trial: false })
  return report.findings.map(({ check, object }) => `${check} ${object}`)
}

/** What a session sees that was a tenant's and is nobody's any more: its setting is '' then, and not null. */
async function readAfterTransaction(ground: LeakGround): Promise<string> {
  return withClient(ground.victim.home.app, 'test', async (client) => {
    await client.query('begin')
    await client.query(`select set_config('leaks.tenant', $1, true)`, [ground.victim.id])
    await client.query('select freehold.enter_reader($1)', [ground.victim.key])
    await client.query('commit')
    return tell(client.query(`select name from ${tableOf(ground.victim)}`).then(({ rows }) => rows))
  })
}

onEachGround(grounds, '7: a setting that has ended is an empty string', async (t, ground) => {
  const { victim } = ground
  const table = tableOf(victim)
  t.equal(await readAfterTransaction(ground), '[]', 'no rows, and no error')
  const casting = { using: `tenant_id = current_setting('leaks.tenant', true)::uuid` }
  const failed = await withPolicy(victim.home, table, casting, () => readAfterTransaction(ground))
  t.match(failed, /invalid input syntax for type uuid/, 'a policy that casts it fails')
  const mended = {
    using: `coalesce(nullif(current_setting('leaks.tenant', true), ''), tenant_id::text) = tenant_id::text`,
  }
  const leaked = await withPolicy(victim.home, table, mended, () => readAfterTransaction(ground))
  t.match(leaked, ground.marker, 'and one that was mended in the wrong way shows everything')
})

onEachGround(
  grounds,
  '8: the application connects as a role that row security does not stop',
  async (t, ground) => {
    const { attacker, foreignItems, source, marker } = ground
    const route = source.routes.get(attacker.id)
    if (!route) throw new Error('the attacker has no route')
    const { home } = attacker
    const attempt = async (address: typeof home.app) => {
      source.routes.set(attacker.id, { ...route, address })
      try {
        // What an owner may do about it.
        await runAsAttacker(ground, `alter table ${foreignItems} disable row level security`)
        return await runAsAttacker(ground, `select name from ${foreignItems}`)
      } finally {
        source.routes.set(attacker.id, route)
        await asSuperuser(home, `alter table ${foreignItems} enable row level security`)
      }
    }
    const asApplication = { ...home.app }
    const cases = [
      { name: 'a superuser', address: home.superuser },
      { name: 'the owner of the tables', address: home.owner },
      {
        name: 'BYPASSRLS',
        address: asApplication,
        grant: 'alter role freehold_app bypassrls',
        revoke: 'alter role freehold_app nobypassrls',
      },
      {
        name: 'a member of the owner',
        address: asApplication,
        grant: 'grant freehold_owner to freehold_app',
        revoke: 'revoke freehold_owner from freehold_app',
      },
    ]
    for (const { name, address, grant = 'select', revoke = 'select' } of cases) {
      await withChange(
        home,
        grant,
        revoke,
        async () => {
          t.match(await attempt(address), '"code":"unsafe_role"', name)
          const unchecked = await withMethod(
            PooledConnection.prototype,
            'open',
            () =>
              async function (this: unknown) {
                if (this instanceof PooledConnection) await this.client.connect()
              },
            () => attempt(address),
          )
          t.match(unchecked, marker, `${name}: without the check every row is there`)
        },
        'superuser',
      )
    }
    t.notMatch(await attempt(home.app), marker, 'as the role of the application there is nothing of it')
  },
)

/** Views over the foreign rows: of the owner, and of somebody whom row security does not stop. */
onEachGround(grounds, '9: a view without security_invoker', async (t, ground) => {
  const { attacker, foreignItems, marker } = ground
  const view = (suffix = '') => `create view public.seen${suffix} as select * from ${foreignItems};
    grant select on public.seen to freehold_app`
  const attempt = () => runAsAttacker(ground, 'select name from public.seen')
  await withChange(attacker.home, view(), 'drop view public.seen', async () => {
    t.notMatch(await attempt(), marker, 'the owner is stopped by row security as well')
    t.ok((await findings(attacker.home)).includes('view-not-invoker public.seen'), 'the doctor names it')
    const unforced = await withChange(
      attacker.home,
      `alter table ${foreignItems} no force row level security`,
      `alter table ${foreignItems} force row level security`,
      attempt,
    )
    t.match(unforced, marker, 'without FORCE the view shows every row')
  })
  const ofSuperuser = await withChange(attacker.home, view(), 'drop view public.seen', attempt, 'superuser')
  t.match(ofSuperuser, marker, 'and so it does when a superuser has made it')
  const invoker = view(' with (security_invoker)')
  const asInvoker = await withChange(attacker.home, invoker, 'drop view public.seen', attempt, 'superuser')
  t.notMatch(asInvoker, marker, 'unless it asks as whoever asks')
})

/** What the attacker reads by a built query that names the victim's table. */
async function readBuilt(ground: LeakGround, options: Pick<RouterOptions, 'tables'>): Promise<string> {
  const router = ground.router(options)
  const db = router.forTenant(ground.attacker.id).withSchema(ground.victim.schema ?? 'public')
  try {
    return await tell(readNames(db))
  } finally {
    await router.close()
  }
}

onEachGround(grounds, '10: a second policy widens the first', async (t, ground) => {
  const { attacker, foreignItems, marker } = ground
  const attempt = () => runAsAttacker(ground, `select name from ${foreignItems}`)
  t.notMatch(await attempt(), marker)
  t.notMatch((await findings(attacker.home)).join('\n'), 'policy-')
  await withChange(
    attacker.home,
    `create policy reporting on ${foreignItems} for select using (true)`,
    `drop policy reporting on ${foreignItems}`,
    async () => {
      t.match(await attempt(), marker, 'with it every row is there')
      t.match((await findings(attacker.home)).join('\n'), /policy-/, 'and the doctor names it')
      t.match(await readBuilt(ground, {}), marker, 'built queries are no exception')
      const told = await readBuilt(ground, { tables: { tenant: ['items'] } })
      t.notMatch(told, marker, 'unless the router has been told the tables: then they hold alone')
    },
  )
  const restricted = await withChange(
    attacker.home,
    `create policy reporting on ${foreignItems} as restrictive for select using (true)`,
    `drop policy reporting on ${foreignItems}`,
    attempt,
  )
  t.notMatch(restricted, marker, 'a restrictive one takes nothing away')
})

/** Things of the victim's, and what the attacker has that refers to them by a key of these columns. */
async function referAcross(
  ground: LeakGround,
  columns: readonly [part: string, use: string],
): Promise<string> {
  const { attacker, victim } = ground
  const parts = tableOf(victim).replace('.items', '.parts')
  const uses = tableOf(attacker).replace('.items', '.uses')
  const [part, use] = columns
  return withChange(
    attacker.home,
    `create table ${parts} (tenant_id uuid not null, id integer not null, primary key (${part}));
     create table ${uses} (tenant_id uuid not null, part integer not null,
       foreign key (${use}) references ${parts} (${part}));
     select freehold.protect_table($$${parts}$$), freehold.protect_table($$${uses}$$)`,
    `delete from freehold.managed_table where relation in ($$${parts}$$::regclass, $$${uses}$$::regclass);
     drop table ${uses}; drop table ${parts}`,
    async () => {
      await asSuperuser(attacker.home, `insert into ${parts} values ('${victim.id}', 1)`)
      const found = await findings(attacker.home)
      const named = found.some((finding) => finding.startsWith('foreign-key-crosses'))
      const answer = await runAsAttacker(ground, `insert into ${uses} (part) values (1)`)
      return `${answer} ${named ? 'the doctor names it' : 'the doctor is content'}`
    },
  )
}

onEachGround(grounds, '11: a foreign key reaches across tenants', async (t, ground) => {
  const refused = await referAcross(ground, ['tenant_id, id', 'tenant_id, part'])
  t.match(refused, /"code":"23503".*the doctor is content/, 'not with the tenant in it')
  const reached = await referAcross(ground, ['id', 'part'])
  t.match(reached, /"numAffectedRows":"1".*the doctor names it/, 'and without it, it does')
})

/** What the doctor says of the server when that claims to be another version: 150008 is 15.8. */
function serverFindings({ home }: Inhabitant, version: number): Promise<string> {
  return withMethod(
    pg.Client.prototype,
    'query',
    (original) =>
      function (text, ...rest) {
        const asked =
          typeof text === 'string'
            ? text.replace(`current_setting('server_version_num')`, `'${version}'`)
            : text
        return original.call(this, asked, ...rest)
      },
    async () => {
      const { findings } = await diagnose(home.superuser, { trial: false })
      return told(findings.filter(({ check }) => check === 'server-version'))
    },
  )
}

onEachGround(grounds, '12: servers whose row security has holes', async (t, ground) => {
  const holes = ['CVE-2024-10976', 'CVE-2024-10978', 'CVE-2025-8713']
  const old = await serverFindings(ground.attacker, 150_008)
  for (const hole of holes) t.match(old, hole, `15.8 has ${hole}`)
  t.equal(await serverFindings(ground.attacker, 180_999), '[]', 'a server that is newer than all of them')
  const mended = await serverFindings(ground.attacker, 180_004)
  for (const hole of holes) t.notMatch(mended, hole, `18.4 does not have ${hole}`)
})

onEachGround(grounds, '18: what to change comes from a subquery', async (t, ground) => {
  const { foreignItems, victim, marker } = ground
  const home = ground.attacker.home
  const victims = () =>
    asSuperuser(
      home,
      `select id, name, quantity from ${foreignItems} where tenant_id = '${victim.id}' order by id`,
    )
  const before = await victims()
  const statements = [
    `update ${foreignItems} set quantity = 99 where id in (select id from ${foreignItems} where name like '${marker}%')`,
    `update ${foreignItems} set name = other.name from (select max(name) as name from ${foreignItems}) other`,
    `with gone as (delete from ${foreignItems} where id in (select id from ${foreignItems}) returning name)
     select name from gone`,
  ]
  for (const text of statements) {
    await ground.refill()
    t.notMatch(await runAsAttacker(ground, text), marker, text)
    t.same(await victims(), before)
    await ground.refill()
    const unguarded = await withoutRowSecurity(ground, () => runAsAttacker(ground, text))
    const changed = told(await victims()) !== told(before)
    t.ok(changed, 'without row security it reaches the victim’s rows')
    if (text.startsWith('with')) t.match(unguarded, marker)
  }
})

/** The same statement on the same connection: first the victim's, then the attacker's. */
async function repeatStatement(ground: LeakGround): Promise<string> {
  const router = ground.router()
  try {
    const names = []
    for (let round = 0; round < 8; round++) {
      await readNames(router.forTenant(ground.victim.id))
      names.push(...(await readNames(router.forTenant(ground.attacker.id))))
    }
    return names.join(' ')
  } finally {
    await router.close()
  }
}

onEachGround(grounds, '18: a cached statement remembers a tenant', async (t, ground) => {
  const { attacker, marker, isolation } = ground
  t.notMatch(await repeatStatement(ground), marker)
  t.match(await withPreviousTenantPersisting(ground, () => repeatStatement(ground)), marker)
  // A function that claims to be constant is evaluated when the statement is planned.
  const frozen = await withChange(
    attacker.home,
    `create function public.frozen_tenant() returns text immutable language plpgsql as
       'begin return freehold.current_tenant(); end'`,
    'drop function public.frozen_tenant()',
    () =>
      withPolicy(
        attacker.home,
        tableOf(attacker),
        { using: 'tenant_id::text = public.frozen_tenant()' },
        () => repeatStatement(ground),
      ),
  )
  if (isolation === 'pool') t.match(frozen, marker, 'a policy that is planned as a constant does remember')
  else t.notMatch(frozen, marker, 'a statement is planned for one schema, and for one database')
})

onEachGround(grounds, '26: settings of the transaction in WITH CHECK', async (t, ground) => {
  const { attacker, victim, foreignItems } = ground
  const v = `'${victim.id}'`
  const planted = () =>
    asSuperuser(
      attacker.home,
      `delete from ${foreignItems} where tenant_id = ${v} and name like 'planted%' returning id`,
    )
  const statements = [
    `insert into ${foreignItems} (tenant_id, id, name) values (${v}, (random() * 1e9)::integer, 'planted')`,
    `insert into ${foreignItems} (tenant_id, id, name) select ${v}, 900 + n, 'planted' from generate_series(1, 3) n`,
  ]
  const attempt = async (text: string) => {
    const router = ground.router()
    const db = router.forTenant(attacker.id)
    const answers = []
    // Often enough for the server to keep its plan.
    for (let times = 0; times < 8; times++) answers.push(await tell(sql.raw(text).execute(db)))
    answers.push(
      await tell(
        db.transaction().execute(async (trx) => {
          await sql`select set_config('freehold.entry', ${'a guess'}, true)`.execute(trx)
          return sql.raw(text).execute(trx)
        }),
      ),
    )
    await router.close()
    return answers
  }
  for (const text of statements) {
    for (const answer of await attempt(text)) t.match(answer, '"code":"42501"')
    t.same(await planted(), [])
    await withPolicy(attacker.home, foreignItems, { check: 'true' }, () => attempt(text))
    t.not((await planted()).length, 0, 'without WITH CHECK rows are planted')
  }
})

onEachGround(grounds, '27: TRUNCATE asks no policy', async (t, ground) => {
  const { attacker, foreignItems, victim } = ground
  const text = `truncate ${foreignItems}`
  const left = async () => {
    const [row] = await asSuperuser<{ n: number }>(
      attacker.home,
      `select count(*)::integer as n from ${foreignItems} where tenant_id = '${victim.id}'`,
    )
    return row?.n
  }
  t.match(await runAsAttacker(ground, text), '"code":"42501"')
  t.equal(await left(), 4)
  await withChange(
    attacker.home,
    `grant truncate on ${foreignItems} to freehold_app`,
    `revoke truncate on ${foreignItems} from freehold_app`,
    () => runAsAttacker(ground, text),
  )
  t.equal(await left(), 0, 'whoever has the right takes everybody’s rows')
  await ground.refill()
})

t.test('docs/isolation.md names a test for each leak, and there is one', async (t) => {
  const document = await readFile(new URL('../../docs/isolation.md', import.meta.url), 'utf8')
  const rows = [...document.matchAll(/^\| (\d+) +\|.*$/gm)]
  t.same(
    rows.map(([, number]) => Number(number)),
    Array.from({ length: 27 }, (_, index) => index + 1),
  )
  for (const [row, number] of rows) {
    for (const [, name] of row.matchAll(/`(leaks-[a-z]+)`/g)) {
      const test = await readFile(new URL(`${name}.test.ts`, import.meta.url), 'utf8')
      t.match(test, `'${number}: `, `${number} in ${name}`)
    }
    t.match(row, '`leaks-', `${number} has a test`)
  }
})
