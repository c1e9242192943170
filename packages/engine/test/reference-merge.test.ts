import { connectClient, inTransaction, withClient } from '@freehold/postgres'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { createDataDatabase } from '../../../test/kit/databases.ts'
import { useExactText } from '../src/database/exact-text.ts'
import { copyReferences } from '../src/database/reference-tables.ts'
import { pairTables, readReferenceTables } from '../src/database/tables.ts'

/** Two databases of one server: what the reference tables of `source` are, those of `target` become. */
const on = await startPreparedCluster('us')
t.teardown(() => on.cluster.remove())
t.setTimeout(300_000)
for (const name of ['source', 'target']) {
  await createDataDatabase(on.cluster, on.passwords, name, { product: false })
}

const run = (database: string, sql: string) =>
  withClient(on.as('freehold_owner', database), 'test', async (owner) => (await owner.query(sql)).rows)

/** Makes the target's tables what the source's are, all of them at once. */
async function merge(): Promise<void> {
  const [source, owner] = await Promise.all([
    connectClient(on.as('freehold_mover', 'source'), 'test'),
    connectClient(on.as('freehold_owner', 'target'), 'test'),
  ])
  try {
    await Promise.all([useExactText(source), useExactText(owner)])
    const pairs = pairTables(
      await readReferenceTables(source, 'public'),
      await readReferenceTables(owner, 'public'),
    )
    await inTransaction(
      source,
      () => copyReferences(source, owner, pairs),
      'begin isolation level repeatable read read only',
    )
  } finally {
    await Promise.all([source.end(), owner.end()])
  }
}

interface Case {
  /** Made in both databases. */
  readonly tables: string
  readonly declared: readonly string[]
  readonly source: string
  readonly target: string
  /** What is asked of both databases, and has to be the same. */
  readonly shown: string
}

/** Makes tables with rows that differ, lets `work` happen, and removes them. */
async function withTables({ tables, declared, source, target }: Case, work: () => Promise<void>) {
  const declare = declared.map((name) => `select freehold.declare_reference_table('${name}')`).join('; ')
  for (const database of ['source', 'target']) await run(database, `${tables}; ${declare}`)
  await run('source', source)
  await run('target', target)
  try {
    await work()
  } finally {
    for (const database of ['source', 'target']) {
      await run(
        database,
        `delete from freehold.managed_table where kind = 'reference'; drop table ${declared.join(', ')} cascade; drop table if exists unsaid; drop domain if exists short`,
      )
    }
  }
}

/** By name, every table comes before the one that it refers to. */
const CHAIN = {
  tables: `
    create table continents (code text primary key, name text not null unique);
    create table b_countries (code text primary key, continent text not null references continents);
    create table a_cities (id int primary key, country text not null references b_countries)`,
  declared: ['a_cities', 'b_countries', 'continents'],
  shown: `select a_cities.id, b_countries.code, continents.name
    from a_cities full join b_countries on code = country full join continents on continents.code = continent order by 1, 2, 3`,
}

const MERGED: Readonly<Record<string, Case>> = {
  'a chain that comes': {
    ...CHAIN,
    source: `insert into continents values ('EU', 'Europe'); insert into b_countries values ('FR', 'EU');
      insert into a_cities values (1, 'FR')`,
    target: '',
  },
  'a chain that goes': {
    ...CHAIN,
    source: '',
    target: `insert into continents values ('EU', 'Europe'); insert into b_countries values ('FR', 'EU');
      insert into a_cities values (1, 'FR')`,
  },
  'a row that refers to another one than before, which goes': {
    ...CHAIN,
    source: `insert into continents values ('EU', 'Europe'); insert into b_countries values ('FR', 'EU');
      insert into a_cities values (1, 'FR')`,
    target: `insert into continents values ('AS', 'Asia'); insert into b_countries values ('FR', 'AS'), ('JP', 'AS');
      insert into a_cities values (1, 'JP')`,
  },
  'a name that another row had': {
    ...CHAIN,
    source: `insert into continents values ('EU', 'Old World')`,
    target: `insert into continents values ('AS', 'Old World')`,
  },
  'a name that stays with another key, to which other rows refer as well': {
    ...CHAIN,
    source: `insert into continents values ('EU', 'Old World'); insert into b_countries values ('FR', 'EU');
      insert into a_cities values (1, 'FR')`,
    target: `insert into continents values ('AS', 'Old World'); insert into b_countries values ('FR', 'AS');
      insert into a_cities values (1, 'FR')`,
  },
  'a row that refers to another one than before, which goes and may not while it is referred to': {
    ...CHAIN,
    tables: CHAIN.tables.replace('references continents', 'references continents on delete restrict'),
    source: `insert into continents values ('EU', 'Europe'); insert into b_countries values ('FR', 'EU')`,
    target: `insert into continents values ('AS', 'Asia'); insert into b_countries values ('FR', 'AS')`,
  },
  'a row that refers to another one than before, beside rows that have no key': {
    ...CHAIN,
    tables: `${CHAIN.tables}; create table remarks (on_city int references a_cities, text text)`,
    declared: [...CHAIN.declared, 'remarks'],
    source: `insert into continents values ('EU', 'Europe'); insert into b_countries values ('FR', 'EU');
      insert into a_cities values (1, 'FR'); insert into remarks values (1, 'large'), (1, 'large')`,
    target: `insert into continents values ('AS', 'Asia'); insert into b_countries values ('FR', 'AS');
      insert into a_cities values (1, 'FR'); insert into remarks values (1, 'large')`,
    shown: `select * from continents, b_countries, a_cities, remarks`,
  },
  'rows that may have no key, to which others refer': {
    tables: `create table grades (name text unique, note text not null);
      create table marks (id int primary key, grade text references grades (name))`,
    declared: ['grades', 'marks'],
    source:
      "insert into grades values ('a', 'new'), (null, 'none'), (null, 'other'); insert into marks values (1, 'a')",
    target: `insert into grades values ('a', 'old'), (null, 'some'); insert into marks values (1, 'a');
      create table unsaid (grade text references grades (name)); insert into unsaid values ('a')`,
    shown: 'select * from grades order by name, note',
  },
  'rows that are unique by what may be null and by what may not, of which one is known by the latter': {
    tables: 'create table sorts (name text unique, number int not null unique)',
    declared: ['sorts'],
    source: "insert into sorts values (null, 1), ('b', 2)",
    target: `insert into sorts values ('a', 1), (null, 2); create table unsaid (sort int references sorts (number));
      insert into unsaid values (1), (2)`,
    shown: 'select * from sorts order by number',
  },
  'rows of one table that need each other': {
    tables: 'create table branches (id int primary key, under int references branches)',
    declared: ['branches'],
    source: 'insert into branches values (1, 3), (2, 1), (3, null)',
    target: 'insert into branches values (1, 4), (4, 5), (5, 5)',
    shown: 'select * from branches order by id',
  },
  'tables that need each other, asked at the end': {
    tables: `
      create table ring_a (id int primary key, b int not null);
      create table ring_b (id int primary key, a int not null references ring_a deferrable initially deferred);
      alter table ring_a add foreign key (b) references ring_b deferrable initially deferred`,
    declared: ['ring_a', 'ring_b'],
    source: 'begin; insert into ring_a values (1, 2); insert into ring_b values (2, 1); commit',
    target: 'begin; insert into ring_a values (3, 4); insert into ring_b values (4, 3); commit',
    shown: 'select * from ring_a join ring_b on b = ring_b.id',
  },
  'rows known by their primary key, which is not the first that is unique': {
    tables:
      'create table sizes (id int not null, name text not null unique); alter table sizes add primary key (id)',
    declared: ['sizes'],
    source: "insert into sizes values (1, 'large')",
    target: `insert into sizes values (1, 'big'); create table unsaid (size int references sizes);
      insert into unsaid values (1)`,
    shown: 'select * from sizes',
  },
  'a number that may not be changed': {
    tables:
      'create table numbered (code text primary key, name text not null, serial int generated always as identity)',
    declared: ['numbered'],
    source: "insert into numbered (code, name) values ('a', 'new'), ('b', 'came')",
    target: "insert into numbered (code, name) values ('a', 'old')",
    shown: 'select * from numbered order by code',
  },
  'rows that are unique, asked at the end': unique('alter table codes add unique (code) deferrable'),
  'rows that are unique, some of them': unique("create unique index on codes (code) where code <> ''"),
  'rows that are unique by what is computed': unique('create unique index on codes (code, lower(name))'),
  'rows that are unique, with a column beside': unique('create unique index on codes (code) include (name)'),
}

/** An index by which no row can be changed in place. */
function unique(index: string): Case {
  return {
    tables: `create table codes (code text not null, name text not null); ${index}`,
    declared: ['codes'],
    source: "insert into codes values ('a', 'new'), ('b', 'came')",
    target: "insert into codes values ('a', 'old'), ('c', 'goes')",
    shown: 'select * from codes order by code',
  }
}

for (const [what, made] of Object.entries(MERGED)) {
  t.test(`merged: ${what}`, async (t) => {
    await withTables(made, async () => {
      await merge()
      t.same(await run('target', made.shown), await run('source', made.shown))
    })
  })
}

t.test('a row that may not go while it is referred to, and another one has its name', async (t) => {
  const made = {
    ...CHAIN,
    tables: CHAIN.tables.replace('references continents', 'references continents on delete restrict'),
    source: `insert into continents values ('EU', 'Old World'); insert into b_countries values ('FR', 'EU')`,
    target: `insert into continents values ('AS', 'Old World'); insert into b_countries values ('FR', 'AS')`,
  }
  await withTables(made, async () => {
    const before = await run('target', made.shown)
    await t.rejects(merge(), { code: 'foreign_key_broken', details: { table: 'b_countries' } })
    t.same(await run('target', made.shown), before)
  })
})

t.test('foreign keys that were asked at the end are what they were', async (t) => {
  const made = MERGED['a name that stays with another key, to which other rows refer as well']
  if (made === undefined) throw new Error('no such case')
  const keys = () =>
    run(
      'target',
      "select conrelid::regclass::text as of, condeferrable, condeferred from pg_constraint where contype = 'f' and confrelid::regclass::text in ('continents', 'b_countries') order by 1",
    )
  await withTables(made, async () => {
    const before = await keys()
    t.match(before, [
      { of: 'a_cities', condeferrable: false },
      { of: 'b_countries', condeferrable: false },
    ])
    await merge()
    t.same(await keys(), before)
  })
})

t.test('rows that a unique index was to know, and does not', async (t) => {
  const made = {
    tables: 'create table codes (code text not null, name text not null)',
    declared: ['codes'],
    source: "insert into codes values ('a', 'new')",
    target: "insert into codes values ('a', 'old'), ('a', 'older')",
    shown: 'select * from codes',
  }
  await withTables(made, async () => {
    await t.rejects(run('target', 'create unique index concurrently on codes (code)'), { code: '23505' })
    await merge()
    t.same(await run('target', made.shown), await run('source', made.shown))
  })
})

t.test('a row that is still referred to, and another one has its name', async (t) => {
  const made = {
    ...CHAIN,
    source: MERGED['a name that another row had']?.source ?? '',
    target: `insert into continents values ('AS', 'Old World'); create table unsaid (of text references continents);
      insert into unsaid values ('AS')`,
  }
  await withTables(made, async () => {
    const before = await run('target', made.shown)
    await t.rejects(merge(), { code: 'foreign_key_broken', details: { table: 'unsaid' } })
    t.same(await run('target', made.shown), before)
  })
})

const CONTINENT = { ...CHAIN, source: '', target: "insert into continents values ('EU', 'Europe')" }

for (const [what, { change, refers }] of Object.entries({
  'deleted along with it': { change: '', refers: 'references continents on delete cascade' },
  'left without it': { change: '', refers: 'references continents on delete set null' },
  'changed along with it': {
    change: "insert into continents values ('EU', 'Old World')",
    refers: 'references continents (name) on update cascade',
  },
})) {
  t.test(`refused: rows that would be ${what}`, async (t) => {
    const value = refers.includes('(name)') ? 'Europe' : 'EU'
    await withTables({ ...CONTINENT, source: change }, async () => {
      await run('target', `create table unsaid (of text ${refers}); insert into unsaid values ('${value}')`)
      const before = await run('target', CONTINENT.shown)
      await t.rejects(merge(), { code: 'foreign_key_broken', details: { table: 'unsaid' } })
      t.same(await run('target', CONTINENT.shown), before)
      t.same(await run('target', 'select of from unsaid'), [{ of: value }])
    })
  })
}

t.test('refused: a number that differs and may not be changed', async (t) => {
  const made = {
    tables: 'create table numbered (code text primary key, serial int generated always as identity)',
    declared: ['numbered'],
    source: "insert into numbered overriding system value values ('a', 7)",
    target: "insert into numbered overriding system value values ('a', 8)",
    shown: 'select * from numbered',
  }
  await withTables(made, async () => {
    await t.rejects(merge(), { code: 'verification_failed', details: { table: 'numbered' } })
    t.same(await run('target', made.shown), [{ code: 'a', serial: 8 }])
  })
})

t.test('no trigger fires, and each is what it was', async (t) => {
  await withTables({ ...CONTINENT, source: "insert into continents values ('AS', 'Asia')" }, async () => {
    await run(
      'target',
      `create function refuse() returns trigger language plpgsql as $$ begin raise 'it fires'; end $$;
       ${['usual', 'always', 'replica', 'off'].map((name) => `create trigger ${name} before insert on continents for each row execute function refuse()`).join('; ')};
       alter table continents enable always trigger always, enable replica trigger replica, disable trigger off`,
    )
    await merge()
    t.same(await run('target', CONTINENT.shown), await run('source', CONTINENT.shown))
    t.same(
      await run(
        'target',
        `select string_agg(tgname || ' ' || tgenabled::text, ', ' order by tgname) as triggers from pg_trigger
         where tgrelid = 'continents'::regclass and not tgisinternal`,
      ),
      [{ triggers: 'always A, off D, replica R, usual O' }],
    )
    await run('target', 'drop function refuse cascade')
  })
})

t.test('who writes there has ended before, or nothing is done', async (t) => {
  await withTables(CONTINENT, async () => {
    await withClient(on.as('freehold_owner', 'target'), 'test', async (writer) => {
      await writer.query("begin; insert into continents values ('AS', 'Asia')")
      await t.rejects(merge(), { code: '55P03' })
      await writer.query('commit')
    })
    t.equal((await run('target', 'select from continents')).length, 2)
  })
})

t.test('a row that the target cannot take ends it, and nothing waits', async (t) => {
  const made = {
    tables: 'create domain short as text; create table shorts (code short primary key)',
    declared: ['shorts'],
    source: "insert into shorts select repeat('x', 1000) || n from generate_series(1, 20000) n",
    target: 'alter domain short add check (length(value) < 4)',
    shown: 'select * from shorts',
  }
  await withTables(made, async () => {
    await t.rejects(merge(), { code: '23514' })
    t.same(await run('target', made.shown), [])
  })
})
