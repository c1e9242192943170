import type { Ground } from './ground.ts'

/** What somebody who can run any SQL as one tenant may try: statements run one after the other in one session. */
export interface Attack {
  readonly name: string
  readonly statements: readonly string[]
}

/** What a tenant may try to leave for the next one, who finds it by one SELECT unless it is kept from it. */
export interface Handover extends Attack {
  readonly find: string
}

const attack = (name: string, ...statements: string[]): Attack => ({ name, statements })

const READ_ALL = [
  'select * from items',
  'select * from orders',
  'select * from codes',
  'select * from events',
  'select * from all_items',
  'select * from item_names',
  'select * from items_of_owner()',
]

/** @returns every attack, with the attacker's and the victim's ids and the attacker's own key filled in. */
export function attacks({ attacker, victim, attackerKey, victimKey }: Ground): Attack[] {
  return [...becoming(attacker, victim, attackerKey), ...reading(victim), ...writing(attacker, victim)].map(
    (one) => {
      if (one.statements.some((text) => text.includes(victimKey)))
        throw new Error('an attacker has no such key')
      return one
    },
  )
}

/**
 * @returns what neither the server nor the router lets through. Settings that are left by a plain SET are not among
 * them: against those there is only the router.
 */
export function handovers(): Handover[] {
  const update = (relation: string, name: string, value: string): Handover => ({
    ...attack(
      `updates ${name} in ${relation}`,
      `update ${relation} set setting = '${value}' where name = '${name}'`,
    ),
    find: `select current_setting('${name}')`,
  })
  return [
    update('pg_settings', 'DateStyle', 'ISO, DMY'),
    update('PG_Catalog.PG_Settings', 'TimeZone', 'Pacific/Chatham'),
    update('"pg_settings"', 'row_security', 'off'),
    update('"pg_catalog" . "pg_settings" as s', 'search_path', 'freehold'),
    update('U&"\\0070g_settings"', 'DateStyle', 'ISO, DMY'),
    update(`u&"!0070g_settings" uescape '!'`, 'TimeZone', 'Pacific/Chatham'),
    {
      ...attack('makes a large object', `select lo_from_bytea(424242, 'handed over')`),
      find: `select convert_from(lo_get(424242), 'UTF8')`,
    },
  ]
}

/**
 * Ways to call a function without parentheses: PostgreSQL reads `x.f` as `f(x)`. Against what they leave in a session
 * there is only the router.
 *
 * @param victim whose lock is taken.
 */
export function columnCalls(victim: string): readonly string[] {
  const runs = (text: string) => `array['${text.replaceAll("'", "''")}'::text]`
  const settings = Object.entries({
    client_encoding: 'LATIN1',
    DateStyle: 'SQL, DMY',
    TimeZone: 'Pacific/Chatham',
    search_path: 'pg_catalog',
    row_security: 'off',
    statement_timeout: '54321',
    lock_timeout: '54321',
    extra_float_digits: '-13',
    standard_conforming_strings: 'off',
    default_transaction_read_only: 'on',
  }).map(([name, value]) => `select to_tsvector(set_config('${name}', '${value}', false))`)
  const key = `select to_tsvector(set_config('freehold.entry', current_setting('freehold.entry'), false))`
  return [
    ...[...settings, key].flatMap((text) => [
      `select (q).ts_stat from unnest(${runs(text)}) q`,
      `select q."ts_stat" from unnest(${runs(text)}) as "q"`,
    ]),
    `select (${runs(settings[0] ?? '')})[1].ts_stat`,
    `select unnest . ts_stat from unnest(${runs(settings[1] ?? '')})`,
    'select x.pg_advisory_lock from generate_series(5::bigint, 5) x',
    `select (x.k).pg_advisory_lock from (select hashtextextended('${victim}', 5067264) as k) x`,
    `select (k).pg_advisory_lock from (select hashtextextended('freehold-migrate-data', 0) as k) x`,
    `select count(*) from (select (k).pg_advisory_lock from (select g::bigint as k from generate_series(1, 300) g) x
       offset 0) y`,
  ]
}

function becoming(attacker: string, victim: string, attackerKey: string): Attack[] {
  const guesses = ['', victim, 'guess', '%', attackerKey.slice(1), `${attackerKey} `]
  const digest = `(select string_agg(entry_digest::text, '') from freehold.resident)`
  return [
    attack('just asks', ...READ_ALL),
    attack('asks for the victim by its id', `select * from items where tenant_id = '${victim}'`),
    attack(
      'names itself the victim',
      ...['true', 'false'].map((local) => `select set_config('freehold.tenant_id', '${victim}', ${local})`),
      `set freehold.tenant_id = '${victim}'`,
      ...READ_ALL,
    ),
    ...guesses.map((guess) =>
      attack(
        `guesses the key ${guess}`,
        `select set_config('freehold.entry', '${guess}', true)`,
        ...READ_ALL,
      ),
    ),
    attack(
      'takes the digest for the key',
      `select set_config('freehold.entry', ${digest}, true)`,
      ...READ_ALL,
    ),
    attack(
      'enters as the victim',
      ...['reader', 'writer'].flatMap((mode) => [
        `select freehold.enter_${mode}('${victim}', 1, 'x')`,
        `select freehold.enter_${mode}('${victim}', 1, null)`,
        `select freehold.enter_${mode}(null, 1, '${attackerKey}')`,
        `select freehold.enter_${mode}('${victim}', 1, current_setting('freehold.entry'))`,
        `select freehold.enter_${mode}('${attacker}'' or ''1''=''1', 1, '${attackerKey}')`,
      ]),
      ...READ_ALL,
    ),
    ...['freehold_owner', 'freehold_mover', 'postgres', 'freehold_control', 'pg_read_all_data', 'none'].map(
      (role) =>
        attack(
          `becomes ${role}`,
          `set role ${role}`,
          `set session authorization ${role === 'none' ? 'default' : role}`,
          `select set_config('role', '${role}', false)`,
          `select set_config('session_authorization', '${role}', false)`,
          `grant ${role === 'none' ? 'postgres' : role} to freehold_app`,
          ...READ_ALL,
        ),
    ),
    attack(
      'resets itself',
      'reset role',
      'reset session authorization',
      'reset all',
      'discard all',
      ...READ_ALL,
    ),
    attack('switches row security off', 'set row_security = off', ...READ_ALL, 'set row_security = on'),
    attack(
      'changes the rules',
      'alter table items disable row level security',
      'alter table items no force row level security',
      'drop policy freehold_tenant on items',
      'create policy mine on items using (true)',
      'alter policy freehold_tenant on items using (true)',
      'alter table items owner to freehold_app',
      'alter role freehold_app bypassrls',
      'grant all on freehold.resident to freehold_app',
      `create or replace function freehold.current_tenant() returns text language sql return '${victim}'`,
      'create or replace view freehold.entered as select tenant_id from freehold.resident',
      `select freehold.protect_table('items', 'id')`,
      `select freehold.declare_reference_table('items')`,
      `update freehold.resident set tenant_id = '${victim}'`,
      `delete from freehold.resident`,
      'set session_replication_role = replica',
      ...READ_ALL,
    ),
    attack(
      'makes its own defaults',
      `alter role freehold_app set freehold.tenant_id = '${victim}'`,
      `alter role freehold_app set row_security = off`,
      `alter role freehold_app reset all`,
      ...READ_ALL,
    ),
    attack(
      'leaves the transaction',
      'commit',
      ...READ_ALL,
      'begin',
      ...READ_ALL,
      `update items set name = 'owned'`,
      'commit and chain',
      `delete from items`,
      `select set_config('freehold.entry', '${attackerKey}', true)`,
      ...READ_ALL,
      'rollback and chain',
      ...READ_ALL,
      `prepare transaction 'x'`,
    ),
    attack('shadows names', 'set search_path = pg_temp, freehold, public', ...READ_ALL),
    attack(
      'makes things of its own',
      'create temp table items (tenant_id uuid, id int, name text)',
      'create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0001 as $$ begin return true; end $$',
      'create table public.mine (x int)',
      'create view public.mine as select * from items',
      `create function public.mine() returns setof items language sql security definer as 'select * from items'`,
      'create schema mine',
      'create extension dblink',
      'create extension postgres_fdw',
      'create rule r as on insert to items do also notify x',
      'create trigger t after insert on items execute function public.leak()',
      'create index on items (name)',
      `create language plpython3u`,
    ),
  ]
}

function reading(victim: string): Attack[] {
  const b = `'${victim}'`
  return [
    attack(
      'calls leaky functions',
      'select * from items where leak(name)',
      `select * from items where leak(name) and tenant_id = ${b}`,
      `select * from items where leak(tenant_id::text)`,
      'select count(*) filter (where leak(name)) from items',
      'select * from items order by leak(name)',
      'select * from items where name <<<< $$z$$',
      'select * from items a join items b on leak(b.name) and a.id = b.id',
      'select * from items a, lateral (select leak(a.name)) b',
      'select * from (select * from items offset 0) x where leak(name)',
      'select * from all_items where leak(name)',
      'select * from bare_items where leak(name)',
      'select * from item_names where leak(name)',
      'select * from items_of_owner() where leak(name)',
      'select * from freehold.entered where leak(tenant_id)',
      'select * from freehold.entered where tenant_id <<<< $$z$$',
      'select freehold.current_tenant() from items where leak(name)',
      'select * from events where leak(note)',
      'select * from orders join items using (tenant_id, item_id) where leak(note)',
      'update items set quantity = 1 where leak(name) returning *',
      'delete from orders where leak(note) returning *',
      'insert into codes (code) select name from items where leak(name) returning *',
      'explain (analyze, verbose) select * from items where leak(name)',
    ),
    attack(
      'provokes errors',
      'select * from items where name::integer > 0',
      'select 1 / (quantity - quantity) from items where leak(name)',
      `select * from items where (name like 'marker%' and 1 / 0 > 0)`,
      `insert into codes (code) values ('code of marker-of-the-victim')`,
      `select xmlparse(document name) from items`,
    ),
    attack(
      'reads around the tables',
      'select * from only items',
      'select items from items',
      'select ctid, xmin, tableoid, * from items',
      `select * from items where ctid = any (array(select format('(%s,%s)', p, o)::tid
         from generate_series(0, 3) p, generate_series(1, 150) o))`,
      'select * from items tablesample system (100)',
      'select * from items for update',
      'table items',
      `select query_to_xml('select * from items', true, true, '')`,
      `select table_to_xml('items', true, true, '')`,
      `select schema_to_xml('public', true, true, '')`,
      `select cursor_to_xml('x', 100, true, true, '')`,
      `select * from ts_stat('select to_tsvector(name) from items')`,
      'select * from events_2026',
      'select * from events_rest',
      'select * from events_2027',
      `select tableoid::regclass, * from events`,
    ),
    attack(
      "reads the server's own tables",
      'select * from freehold.resident',
      'select * from freehold.applied',
      'select * from pg_statistic',
      'select * from pg_statistic_ext_data',
      'select * from pg_stats',
      'select * from pg_stats_ext',
      'select * from pg_stat_activity',
      'select * from pg_prepared_statements',
      'select * from pg_cursors',
      'select * from pg_authid',
      'select * from pg_largeobject',
      'select * from pg_user_mappings',
      'select * from pg_hba_file_rules',
      'select * from pg_file_settings',
      'select * from pg_shmem_allocations',
      `select pg_read_file('PG_VERSION')`,
      `select pg_read_binary_file(pg_relation_filepath('items'))`,
      `select * from pg_ls_dir('.')`,
      `select lo_import('/etc/hostname')`,
      `select lo_export(0, '/tmp/x')`,
      `select pg_create_logical_replication_slot('x', 'pgoutput')`,
      `select * from pg_logical_slot_peek_changes('x', null, null)`,
      `select * from pg_get_publication_tables('x')`,
    ),
    attack(
      'copies',
      'copy items to stdout',
      'copy (select * from items) to stdout',
      'copy events_2026 to stdout',
      `copy items to '/tmp/freehold-stolen'`,
      `copy items to program 'cat > /tmp/freehold-stolen'`,
      `copy items from program 'id'`,
      `copy items from '/etc/hostname'`,
    ),
    attack(
      'runs blocks',
      `do $$ declare r record; begin for r in select * from items loop raise notice '%', r; end loop; end $$`,
      `do $$ declare r record; begin execute 'set local role freehold_owner'; for r in select * from items
         loop raise notice '%', r; end loop; end $$`,
      `do $$ declare r record; begin perform set_config('freehold.tenant_id', ${b}, true);
         for r in execute 'select * from items' loop raise notice '%', r; end loop; end $$`,
      `do $$ begin commit; end $$`,
      `do $$ declare r record; begin perform set_config('freehold.entry', '', true);
         for r in select * from items loop raise notice '%', r; end loop; end $$`,
    ),
    attack(
      'leaves cursors and prepared statements',
      'declare c cursor with hold for select * from items',
      'declare d scroll cursor for select * from items',
      'fetch all from d',
      'prepare p as select * from items',
      'execute p',
      'commit',
      'fetch all from c',
      'execute p',
      'begin',
      'execute p',
    ),
  ]
}

function writing(attacker: string, victim: string): Attack[] {
  const a = `'${attacker}'`
  const b = `'${victim}'`
  return [
    attack(
      'writes plainly',
      `update items set name = 'owned' where tenant_id = ${b}`,
      `delete from items where tenant_id = ${b}`,
      `insert into items values (${b}, 900, 'planted')`,
      `insert into items select ${b}, 901, 'planted'`,
      `update items set tenant_id = ${b}, id = 902 where id = 1`,
      `update items set tenant_id = ${b} where false`,
      `update orders set tenant_id = ${b}`,
      `insert into all_items values (${b}, 903, 'planted')`,
      `update all_items set name = 'owned' where tenant_id = ${b}`,
      `insert into events (tenant_id, day) values (${b}, '2026-01-01')`,
      `insert into events_2026 (tenant_id, id, day) overriding system value values (${b}, 1, '2026-01-01')`,
      `update events set day = '2020-02-02', tenant_id = ${b}`,
      'truncate items, orders',
      `update freehold.managed_table set kind = 'reference'`,
    ),
    attack(
      'writes by common table expressions',
      `with x as (delete from items returning *) select * from x where tenant_id = ${b}`,
      `with x as (update items set name = 'owned' where tenant_id = ${b} returning *) select * from x`,
      `with x as (select * from items where tenant_id = ${b}) update items set name = x.name from x`,
      `with x as (insert into items values (${b}, 904, 'planted') returning *) select * from x`,
    ),
    attack(
      'merges',
      `merge into items using (values (${b}::uuid, 1)) v (t, i) on items.tenant_id = v.t and items.id = v.i
         when matched then update set name = 'owned'`,
      `merge into items using (values (${b}::uuid, 1)) v (t, i) on items.tenant_id = v.t and items.id = v.i
         when matched then delete`,
      `merge into items using (values (${b}::uuid, 905)) v (t, i) on items.tenant_id = v.t and items.id = v.i
         when not matched then insert values (v.t, v.i, 'planted')`,
      `merge into items using (values (1)) v (i) on items.id = v.i
         when matched then update set tenant_id = ${b}, id = 906`,
      `merge into items using (values (1)) v (i) on true when not matched by source then delete`,
    ),
    attack(
      'provokes conflicts',
      `insert into items values (${b}, 1, 'owned') on conflict (tenant_id, id) do update set name = 'owned'`,
      `insert into items values (${b}, 1, 'owned') on conflict do nothing`,
      `insert into items values (${b}, 1, 'owned') on conflict (tenant_id, id) do update set name = items.name
         returning *`,
      `insert into items values (${a}, 1, 'x') on conflict (tenant_id, id) do update set tenant_id = ${b}, id = 907`,
      `insert into codes (code, note) values ('code of marker-of-the-victim', 'x')
         on conflict (code) do update set note = 'owned' returning *`,
      `insert into codes (code, note) values ('code of marker-of-the-victim', 'x')
         on conflict (code) do update set tenant_id = excluded.tenant_id, code = codes.code || codes.note returning *`,
    ),
    attack(
      'refers across tenants',
      `insert into orders values (${b}, 900, 1, 'planted')`,
      `insert into orders values (${a}, 901, 51, 'x')`,
      `update orders set item_id = 51`,
      `update items set id = id + 1000`,
      `delete from items`,
      `alter table orders add foreign key (item_id) references items (id)`,
    ),
    attack(
      'upsets sequences and rows that are locked',
      `select setval('events_id_seq', 1)`,
      `select setval('ticket_numbers', 1)`,
      `alter sequence ticket_numbers restart`,
      `select last_value from events_id_seq`,
      `select * from items where tenant_id = ${b} for update nowait`,
      `select pg_logical_emit_message(true, 'x', 'y')`,
    ),
  ]
}
