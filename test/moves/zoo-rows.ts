import type { DatabaseAddress } from '@freehold/postgres'
import { withClient } from '@freehold/postgres'

/** Values at the edges of each type, by column of `animals`. Rows are made of the first of each, the second, and so on. */
const EDGES: Readonly<Record<string, readonly string[]>> = {
  a_int2: ['-32768', '32767', '0'],
  a_int4: ['-2147483648', '2147483647', '0'],
  a_int8: ['-9223372036854775808', '9223372036854775807', '4294967297', '0'],
  a_numeric: [
    'NaN',
    'Infinity',
    '-Infinity',
    '1.00',
    '1.0',
    '-0.000',
    '1e500',
    '123456789012345678901234567890.123456789',
  ],
  a_price: ['9999999999.99', '-0.01', 'NaN'],
  a_negative_scale: ['12300', '0'],
  a_float4: ['NaN', '-0', 'Infinity', '-Infinity', '1.17549435e-38', '3.4028235e38', '0.1', '1e-45'],
  a_float8: [
    'NaN',
    '-0',
    'Infinity',
    '-Infinity',
    '2.2250738585072014e-308',
    '1.7976931348623157e308',
    '0.1',
    '5e-324',
    '0.30000000000000004',
  ],
  a_money: ['-92233720368547758.08', '92233720368547758.07', '1234.50'],
  a_text: [
    '',
    ' ',
    'trailing  ',
    '\\.',
    '\\N',
    '\t\n\r\v',
    'ünïcode 😀 é',
    'it\'s "quoted", {braced} (too)',
    'NULL',
  ],
  a_varchar: ['', 'twenty chars long ..', '  '],
  a_char: ['', 'ab', 'ab  cd', '        '],
  a_bpchar: ['', 'ab   ', 'ab', '   '],
  a_byte: ['', 'x', '\\001', '\\377'],
  a_name: ['', 'pg_class', 'a'.repeat(63)],
  a_bytea: ['\\x', '\\x00', '\\x000102ff5c5c0a', `\\x${'00'.repeat(300)}`],
  a_bool: ['t', 'f'],
  a_date: ['infinity', '-infinity', '4713-01-01 BC', '0001-12-31 BC', '5874897-12-31', '2026-03-04'],
  a_time: ['00:00:00', '24:00:00', '23:59:59.999999'],
  a_timetz: ['00:00:00+15:59:59', '24:00:00-15:59:59', '12:34:56.789012+05:45'],
  a_timestamp: [
    'infinity',
    '-infinity',
    '4713-01-01 00:00:00 BC',
    '294276-12-31 23:59:59.999999',
    '2026-03-04 05:06:07.000001',
  ],
  a_timestamptz: [
    'infinity',
    '-infinity',
    '0044-03-15 12:00:00+00 BC',
    '2026-10-25 00:30:00+00',
    '2026-10-25 01:30:00+00',
    '2026-03-04 05:06:07.123+05:45',
  ],
  a_interval: [
    '-178000000 years',
    '1 year -2 mons +3 days -04:05:06.789',
    '-1 day +23:59:59.999999',
    '0',
    '24:00:00',
    '1 day',
  ],
  a_uuid: ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  a_json: ['{"b" : 1,   "a":2, "a":3}', 'null', '"\\u00e9"', '[1.0, 1.00, 1e2]'],
  a_jsonb: ['{"b": 1, "a": [1.0, 1.00, null, ""]}', 'null', '"\\u00e9"', '{}', '[]'],
  a_jsonpath: ['$."a b"[*] ? (@ > 1)'],
  a_xml: ['<a b="1">é<!-- c --></a>', 'text <b/> alone', ''],
  ints: ['{}', '{NULL,1}', '[-2:0]={1,2,3}', '{{1,2},{3,4}}'],
  texts: ['{}', '{"",NULL,"NULL","a\\"b\\\\c"," x "}', '[5:5]={a}'],
  matrix: ['[2:3][0:1]={{NaN,Infinity},{1.00,-0.0}}', '{{{1}}}'],
  moods: ['{sad,"ha\'ppy","ünï, \\"code\\""}', '{}'],
  positives: ['{1,2}', '[0:1]={3,NULL}'],
  lines: ['{"(\\"a, \\"\\"b\\"\\"\\",1,\\"{sad,ok}\\")",NULL,"(,,)"}'],
  times: ['{infinity,-infinity,"0044-03-15 12:00:00+00 BC"}'],
  an_inet: ['::1', '10.1.2.3/8', '2001:db8::/32', '0.0.0.0/0'],
  a_cidr: ['10.0.0.0/8', '2001:db8::/32', '::ffff:1.2.3.0/120'],
  a_mac: ['08:00:2b:01:02:03'],
  a_mac8: ['08:00:2b:01:02:03:04:05'],
  a_bit: ['10101', '00000'],
  a_varbit: ['', '1', '000000000000'],
  a_point: ['(-0,0.1)', '(NaN,Infinity)'],
  a_line: ['{1,-1,0}'],
  a_lseg: ['[(0,0),(1e-300,1)]'],
  a_box: ['(2,2),(0,0)'],
  a_path: ['[(0,0),(1,1)]', '((0,0),(1,1))'],
  a_polygon: ['((0,0),(1,1),(1,0))'],
  a_circle: ['<(0.1,0.2),3>'],
  a_tsvector: ["'a':1A,2B 'it''s':3 'z'", ''],
  a_tsquery: ["'a':*AB & !( 'b' <2> 'c' )", ''],
  an_int4range: ['empty', '[1,5)', '(,)', '[3,)'],
  a_numrange: ['[1.00,2.0]', '(,1.50)', 'empty'],
  a_tstzrange: ['[2026-01-01 00:00:00+00,infinity)', '(,)'],
  a_daterange: ['[2026-01-01,2026-01-02)', '[-infinity,infinity]'],
  a_float_range: ['[-0,Infinity]', '(0.1,0.30000000000000004)'],
  an_int8multirange: ['{}', '{[1,3),[5,9)}', '{(,)}'],
  some_float_ranges: ['{[0.1,0.2],(1,)}'],
  a_lsn: ['0/0', 'FFFFFFFF/FFFFFFFF'],
  a_snapshot: ['10:20:10,14,15'],
  a_class: ['animals', '"Select"', 'annex.shelf', 'pg_class', '0'],
  a_type: ['mood', 'integer', 'address_line[]'],
  some_classes: ['{animals,annex.shelf}'],
  an_acl: ['freehold_app=r/freehold_owner'],
  a_domain: ['1', '2147483647'],
  loud: ['', 'ABC É'],
  a_mood: ['sad', "ha'ppy", 'ünï, "code"'],
  a_line_of_address: ['("a, ""b""",1,"{sad,ok}")', '(,,)', '("",0,"{}")'],
  any_case: ['a', 'A', ''],
}

/** Values that older servers do not have. */
const EDGES_SINCE_17: typeof EDGES = { a_interval: ['infinity', '-infinity'] }

const ROWS = 9

/** Puts a row of every edge into each table of the zoo, with ids from `first` on; called again it adds others. */
export async function fillZoo(
  superuser: DatabaseAddress,
  tenantId: string,
  first: number,
  oldestVersion: number,
): Promise<void> {
  await withClient(superuser, 'test', async (client) => {
    await client.query("set lc_monetary = 'C'; set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres'")
    const columns = Object.keys(EDGES)
    for (let row = 0; row <= ROWS; row++) {
      // The last row is null wherever it can be.
      const values = columns.map((column) => {
        const since17 = oldestVersion < 17 ? undefined : EDGES_SINCE_17[column]
        const edges = [...(since17 ?? []), ...(EDGES[column] ?? [])]
        return row === ROWS ? null : (edges[row % edges.length] ?? null)
      })
      await client.query(
        `insert into animals (tenant_id, id, ${columns.join(', ')})
         values ($1, $2, ${columns.map((_, index) => `$${index + 3}`).join(', ')})`,
        [tenantId, first + row, ...values],
      )
    }
    await client.query(OTHERS.replaceAll(':tenant', `'${tenantId}'`).replaceAll(':first', String(first)))
  })
}

/** Random values that do not compress are made of hashes. */
const OTHERS = `
  insert into heavy select :tenant, :first + n, repeat('compressible ' || n, 20000),
      (select string_agg(sha256((n * 1000 + i)::text::bytea), '') from generate_series(1, 800) i),
      jsonb_build_object('list', (select jsonb_agg(md5((n + i)::text)) from generate_series(1, 300) i)),
      (select string_agg(md5((n * 7 + i)::text), '') from generate_series(1, 200) i), 'note'
    from generate_series(0, 5) n;
  insert into "Select" ("tenant_id", "user""name", "grüße ✓")
    select :tenant, 'user ' || :first + n, nullif('é' || n, 'é0') from generate_series(0, 5) n;
  insert into numbered (tenant_id, code, large, note)
    select :tenant, 'code ' || :first + n, (select string_agg(md5((n + i)::text), '') from generate_series(1, 400) i), 'note'
    from generate_series(0, 5) n;
  insert into bare_key (tenant_id) select :tenant from generate_series(1, 5);
  insert into tree select :tenant, :first + n, :first + (n + 1) % 6, n from generate_series(0, 5) n;
  insert into bookings select :tenant, :first + n, tstzrange(timestamptz '2026-01-01' + (:first + n) * interval '1 day',
      timestamptz '2026-01-02' + (:first + n) * interval '1 day') from generate_series(0, 5) n;
  insert into visits (tenant_id, kind, day, id, note)
    select :tenant, kind, day, :first + n, 'visit'
    from unnest(array['in', 'IN', 'out']) kind, unnest(array[date '2025-12-31', '2026-01-01', '-infinity', 'infinity']) day,
      generate_series(0, 3) n;
  insert into visit_notes select :tenant, :first + n, 'in', '2026-01-01', :first + n from generate_series(0, 3) n;
  insert into odd_keys select :tenant, :first + n * 1.10, array['a', null, 'b' || n], int4range(n, n + 2),
      timestamptz '2026-03-04 05:06:07.123456+00' + n * interval '1 us', 'x' || n, 'ok', n + 1, n / 3.0::float8, b'101', 'note'
    from generate_series(0, 5) n;
  insert into loose_keys select :tenant, :first + n, 'word', 'note' from generate_series(0, 5) n;
  insert into annex.shelf select :tenant, :first + n, 'of the annex' from generate_series(0, 5) n;
  insert into "annex.shelf" select :tenant, :first + n, 'with a dot' from generate_series(0, 5) n`

/** Changes the rows that {@link fillZoo} put in from `first` on, in every way, and puts in others from `next` on. */
export async function stirZoo(
  superuser: DatabaseAddress,
  tenantId: string,
  first: number,
  next: number,
  oldestVersion: number,
): Promise<void> {
  await fillZoo(superuser, tenantId, next, oldestVersion)
  await withClient(superuser, 'test', (client) =>
    client.query(
      CHANGES.replaceAll(':tenant', `'${tenantId}'`)
        .replaceAll(':first', String(first))
        .replaceAll(':next', String(next)),
    ),
  )
}

const CHANGES = `
  set session lc_monetary = 'C';
  -- Rows come from another tenant and go to it, and what is stored out of line is not written with them.
  insert into heavy select gen_random_uuid(), id + 5000, compressed, external, main, plain, 'guest'
    from heavy where tenant_id = :tenant and id between :first and :first + 2;
  update heavy set tenant_id = :tenant where note = 'guest' and id between :first + 5000 and :first + 5002;
  update heavy set tenant_id = gen_random_uuid(), note = 'gone' where tenant_id = :tenant and id = :first + 5;
  delete from heavy where note = 'gone';
  -- Every value is sent again, or only some columns change, or the key does.
  update animals set a_text = a_text || '.' where tenant_id = :tenant and id between :first and :first + 2;
  update animals set id = id + 500 where tenant_id = :tenant and id = :first + 7;
  update animals set any_case = upper(any_case), a_bpchar = a_bpchar || ' ', a_int8 = a_int8 # 4294967297, a_float8 = -a_float8,
    a_numeric = a_numeric + 0.000 where tenant_id = :tenant and id between :first and :first + 4;
  delete from animals where tenant_id = :tenant and id = :first + 8;
  -- Large values: untouched beside a change, untouched while the key changes, replaced, removed.
  update heavy set note = note || '!' where tenant_id = :tenant and id = :first;
  update heavy set id = id + 500 where tenant_id = :tenant and id = :first + 1;
  update heavy set external = external || '\\x00', compressed = repeat('other ', 30000) where tenant_id = :tenant and id = :first + 2;
  update heavy set compressed = null, main = '{}' where tenant_id = :tenant and id = :first + 3;
  delete from heavy where tenant_id = :tenant and id = :first + 4;
  -- Identities: kept, and drawn anew.
  update "Select" set "grüße ✓" = 'changed', "from" = 0 where tenant_id = :tenant and "user""name" = 'user ' || :first;
  update "Select" set "Order" = default where tenant_id = :tenant and "user""name" = 'user ' || :first + 1;
  update numbered set note = note || '!' where tenant_id = :tenant and code = 'code ' || :first;
  update numbered set number = default where tenant_id = :tenant and code = 'code ' || :first + 1;
  update numbered set code = code || ' renamed' where tenant_id = :tenant and code = 'code ' || :first + 2;
  update numbered set other = -other, large = null where tenant_id = :tenant and code = 'code ' || :first + 3;
  update bare_key set id = default where tenant_id = :tenant and id = (select min(id) from bare_key where tenant_id = :tenant);
  -- Allowed only because it is checked at the end.
  begin; set constraints all deferred;
  update tree set parent_id = :first where tenant_id = :tenant and id in (:first + 1, :first + 2);
  update tree set position = 14 where tenant_id = :tenant and id = :first + 1;
  update tree set position = 15 where tenant_id = :tenant and id = :first + 2;
  update tree set position = 29 - position where tenant_id = :tenant and id in (:first + 1, :first + 2);
  commit;
  update bookings set during = during * tstzrange(lower(during), upper(during) - interval '1 hour') where tenant_id = :tenant;
  -- From one partition to another: within a level, between levels, into the default, and back.
  update visits set kind = 'out', id = id + 503, note = 'moved' where tenant_id = :tenant and kind = 'IN' and id = :first;
  update visits set kind = 'IN', id = id + 502 where tenant_id = :tenant and kind = 'in' and day = '2025-12-31' and id = :first + 1;
  update visits set day = '2026-02-02', id = id + 501 where tenant_id = :tenant and kind = 'in' and day = '2025-12-31' and id = :first + 2;
  delete from visits where tenant_id = :tenant and kind = 'in' and day = '2026-01-01' and id = :first + 3;
  -- Keys: of awkward types, and those that change in their text alone.
  update odd_keys set note = note || '!' where tenant_id = :tenant and amount = :first;
  update odd_keys set tags = tags || '{"", NULL, "x,y"}', ratio = -0.0, fixed = 'z', feeling = 'ha''ppy', bits = b''
    where tenant_id = :tenant and amount = :first + 1.10;
  delete from odd_keys where tenant_id = :tenant and amount = :first + 2.20;
  update loose_keys set amount = amount + 0.00 where tenant_id = :tenant and amount = :first;
  update loose_keys set word = 'WORD' where tenant_id = :tenant and amount = :first + 1;
  update annex.shelf set note = 'annex, changed' where tenant_id = :tenant and id = :first;
  delete from "annex.shelf" where tenant_id = :tenant and id = :first`
