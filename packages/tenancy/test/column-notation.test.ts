// What the judgement of column notation takes for granted of PostgreSQL, held against a running server.

import { connectClient, withClient } from '@freehold/postgres'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { createItemsDatabase } from '../../../test/kit/tenants.ts'
import { HARMLESS } from '../src/statements/harmless-functions.ts'
import { statementTraits } from '../src/statements/statement-traits.ts'

const prepared = await startPreparedCluster('column-notation')
t.teardown(() => prepared.cluster.remove())
const database = await createItemsDatabase(prepared, 'notation')
/** The names that the product's own functions have, which change the session when they are given a value. */
const NAMES = ['remember', 'id', 'q', 'value']
await withClient(database.owner, 'test', async (client) => {
  for (const name of NAMES) {
    await client.query(`create function ${name}(given anyelement) returns text language plpgsql as $$
      begin
        if (select typtype not in ('c', 'p') from pg_type where oid = pg_typeof(given)) then
          perform set_config('a.called', 'yes', false);
        end if;
        return '';
      end $$`)
  }
  await client.query(`create function calls(texts text[]) returns text[] language plpgsql as $$
    declare
      one text;
      found text[] = '{}';
    begin
      foreach one in array texts loop
        perform set_config('a.called', '', false);
        begin
          execute one;
          if current_setting('a.called') = 'yes' then found = found || one; end if;
        exception when others then
        end;
      end loop;
      return found;
    end $$`)
})

const names = (text: string) =>
  withClient(database.superuser, 'test', async (client) =>
    (await client.query<{ name: string }>(text)).rows.map(({ name }) => name),
  )

const CALLED_WITH_ONE = `pronamespace = 'pg_catalog'::regnamespace and pronargs >= 1 and pronargs - pronargdefaults <= 1
  and prokind <> 'p' and prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
  and proargtypes[0] <> 'internal'::regtype`

t.test('no function of the system that changes something is called as a column', async (t) => {
  const volatile = await names(
    `select distinct proname::text as name from pg_proc where provolatile = 'v' and ${CALLED_WITH_ONE}`,
  )
  t.ok(volatile.includes('ts_stat') && volatile.includes('pg_advisory_lock'))
  for (const name of volatile.filter((name) => !HARMLESS.has(name))) {
    for (const text of [
      `select q.${name} from t q`,
      `select q."${name}" from unnest(array[1]) q`,
      `select (q).${name} from t q`,
      `select $1.${name}`,
      `select (array[$1])[1].${name}`,
    ]) {
      t.match(statementTraits(text), { leavesTraces: true }, text)
    }
  }
})

t.test('what the system runs without naming a function is not volatile', async (t) => {
  t.same(
    await names(`
      select 'operator ' || oprname as name from pg_operator join pg_proc p on p.oid = oprcode where provolatile = 'v'
      union all select 'cast ' || p.proname from pg_cast join pg_proc p on p.oid = castfunc where provolatile = 'v'
      union all select 'type ' || typname from pg_type join pg_proc p on p.oid in (typinput, typoutput, typreceive, typsend)
        where provolatile = 'v'
      union all select 'row ' || proname from pg_proc where provolatile = 'v' and ${CALLED_WITH_ONE} and provariadic = 0
        and proargtypes[0] in ('record'::regtype, '"any"'::regtype, 'anyelement'::regtype, 'anynonarray'::regtype,
          'anycompatible'::regtype, 'anycompatiblenonarray'::regtype)`),
    [],
  )
})

t.test('harmless functions only make things up', async (t) => {
  const volatile = await names(`select distinct proname::text as name from pg_proc
    where pronamespace = 'pg_catalog'::regnamespace and provolatile = 'v' order by 1`)
  t.same(
    volatile.filter((name) => HARMLESS.has(name)),
    ['array_sample', 'array_shuffle', 'clock_timestamp', 'gen_random_uuid', 'random', 'uuidv4', 'uuidv7'],
  )
})

const ITEMS = [
  ...['unnest(array[$$x$$])', 'pg_catalog.unnest(array[$$x$$])', 'generate_series(1, 1)', 'lower($$X$$)'],
  ...[
    'jsonb_array_elements($$[1]$$)',
    'jsonb_array_elements($$[1]$$) with ordinality',
    'jsonb_each($${"a":1}$$)',
  ],
  ...[
    'cast((select 5 as q) as int)',
    'cast($$x$$ as text)',
    'coalesce($$x$$)',
    'nullif($$x$$, $$y$$)',
    'trim($$x$$)',
  ],
  ...[
    'extract(day from now())',
    'current_user',
    'current_date',
    'localtimestamp',
    'greatest(1)',
    'substring($$x$$ from 1)',
  ],
  ...[
    'rows from (unnest(array[1]))',
    'lateral unnest(array[1])',
    'position($$a$$ in $$b$$)',
    'left($$ab$$, 1)',
  ],
  ...[
    '(select 1 as a)',
    '(values (1))',
    'items',
    'unnest(array[1], array[2])',
    'json_value(jsonb $$1$$, $$$$)',
  ],
].map((item) => item.replaceAll('$$', "'"))
const ALIASES = ['', ' q', ' as q', ' "q"', ' as "q"("id")', ' as "q"("q")', ' as "q"("remember")']
const FROMS = [
  (item: string) => `from ${item}`,
  (item: string) => `from (select 1 as id) o, ${item}`,
  (item: string) => `from (select 1 as id) o cross join ${item}`,
  (item: string) =>
    `from (select 1 as id) o join (${item} cross join (select 1 as z) p) on o.id is not distinct from 1`,
  (item: string) => `from (select 1 as id) o join (select 2 as y) p on o.id + 1 = p.y, ${item}`,
  (item: string) =>
    `from (select 1 as id) as o left join lateral ${item} on true where true group by 1 order by 1`,
]
const OF = [
  'q',
  '(q)',
  '"q"',
  'unnest',
  'generate_series',
  '"current_user"',
  '"coalesce"',
  'btrim',
  'lower',
  'text',
  'o',
  '(o.id)',
]

/** Wherever the server runs a function of the product's, by whatever notation, the text must have been judged so. */
t.test('whatever calls a function of a value leaves traces', async (t) => {
  const texts = FROMS.flatMap((from) =>
    ITEMS.flatMap((item) =>
      ALIASES.flatMap((alias) =>
        OF.flatMap((of) =>
          NAMES.map((name) => `select count(${of}.${name}), min('a') ${from(item + alias)}`),
        ),
      ),
    ),
  )
  const client = await connectClient(database.app, 'test')
  t.teardown(() => client.end())
  const calling = async (some: readonly string[]) => {
    const { rows } = await client.query<{ found: string[] }>('select calls($1) as found', [some])
    return rows[0]?.found ?? []
  }
  const free = texts.filter((text) => !statementTraits(text).leavesTraces)
  const others = texts.filter((text) => statementTraits(text).leavesTraces)
  t.comment(`${free.length} of ${texts.length} are judged to leave nothing`)
  t.same(await calling(free), [])
  const every = Math.ceil(others.length / 2_000)
  const found = await calling(others.filter((_, index) => index % every === 0))
  t.ok(found.length > 50, `of 2,000 others, ${found.length} call something`)
})
