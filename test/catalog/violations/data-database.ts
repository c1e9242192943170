import type { Violation } from './catalog-rows.ts'

export const dataRows = `
  insert into freehold.identity default values;
  insert into freehold.tenant_schema values ('own_a'), ('own_b');
  insert into freehold.resident (tenant_id, epoch, entry_digest, state, schema_name) values
    ('a', 1, sha256('a'), 'active', null), ('a', 2, sha256('a2'), 'standby', 'own_a'),
    ('b', 1, sha256('b'), 'active', null);
  insert into freehold.applied (stream, fencing_token, lsn) values ('move_1', 1, '0/1');
  insert into freehold.change (stream, tenant_id, relation, kind) values ('move_1', 'one', 'orders', 'truncate');
  create table public.things (tenant_id text primary key);
  insert into freehold.managed_table values ('public.things', 'tenant', 'tenant_id');`

export const dataViolations: readonly Violation[] = [
  ['one_residency_per_schema', 'a tenant twice', resident("'a'", 2, "sha256('c')", "'active'")],
  ['schema_is_declared', 'a schema of nobody', resident("'c'", 1, "sha256('c')", "'active'", "'nobodys'")],
  [
    'schema_has_one_tenant',
    'two tenants in one schema',
    resident("'c'", 1, "sha256('c')", "'active'", "'own_a'"),
  ],
  [
    'tenant_schema_is_its_own',
    'the shared tables as one tenant’s',
    "insert into freehold.tenant_schema values ('public')",
  ],
  ['identity_pkey', 'a second id of the database', 'insert into freehold.identity default values'],
  ['there_is_one_identity', 'an id that is not the only one', 'insert into freehold.identity values (false)'],
  ['tenant_schema_pkey', 'a schema twice', "insert into freehold.tenant_schema values ('own_a')"],
  [
    'tenant_id_is_canonical',
    'two ids that are one number',
    `create table public.numbered (account_id bigint); delete from freehold.resident; ${resident("'42'", 1, "sha256('c')", "'active'")};
     delete from freehold.managed_table;
     select freehold.protect_table('public.numbered', 'account_id'); ${resident("'042'", 1, "sha256('d')", "'active'")}`,
  ],
  [
    'tenant_id_is_canonical',
    'an id that is made another way to write a number',
    `create table public.numbered (account_id bigint); delete from freehold.resident; ${resident("'42'", 1, "sha256('c')", "'active'")};
     delete from freehold.managed_table;
     select freehold.protect_table('public.numbered', 'account_id'); update freehold.resident set tenant_id = '042'`,
  ],
  [
    'tenant_id_is_canonical',
    'an id that is no number, where ids are numbers',
    `create table public.numbered (account_id bigint); select freehold.protect_table('public.numbered', 'account_id')`,
  ],
  ['epoch_is_positive', 'epoch 0', resident("'c'", 0, "sha256('c')", "'active'")],
  ['entry_digest_is_sha256', 'a short digest', resident("'c'", 1, "'\\x00'", "'active'")],
  ['entry_digest_names_one_tenant', "another tenant's digest", resident("'c'", 1, "sha256('a')", "'active'")],
  [
    'fence_has_a_token_and_an_expiry',
    'a fence without either',
    resident("'c'", 1, "sha256('c')", "'fenced'"),
  ],
  [
    'fence_has_a_token_and_an_expiry',
    'a seal without a token',
    resident("'c'", 1, "sha256('c')", "'sealed'"),
  ],
  [
    'fence_has_a_token_and_an_expiry',
    'a fence without an expiry',
    "update freehold.resident set state = 'fenced', fence_token = gen_random_uuid() where tenant_id = 'a'",
  ],
  [
    'fence_has_a_token_and_an_expiry',
    'a token left behind',
    "update freehold.resident set fence_token = gen_random_uuid() where tenant_id = 'a'",
  ],
  [
    'claim_has_a_token',
    'a claim under no lease',
    "update freehold.resident set claimed_by = gen_random_uuid() where tenant_id = 'a'",
  ],
  [
    'fencing_token_is_positive',
    'a stream that no lease owns',
    "update freehold.applied set fencing_token = 0 where stream = 'move_1'",
  ],
  [
    'applied_pkey',
    'a stream twice',
    "insert into freehold.applied (stream, fencing_token, lsn) values ('move_1', 2, '0/2')",
  ],
  [
    'managed_table_pkey',
    'a table twice',
    "insert into freehold.managed_table values ('public.things', 'reference')",
  ],
  [
    'tenant_tables_have_a_tenant_column',
    'a tenant table without a tenant column',
    "insert into freehold.managed_table values ('freehold.applied', 'tenant', null)",
  ],
  [
    'tenant_tables_have_a_tenant_column',
    'a reference table with one',
    "insert into freehold.managed_table values ('freehold.applied', 'reference', 'stream')",
  ],
]

function resident(id: string, epoch: number, digest: string, state: string, schema = 'null'): string {
  return `insert into freehold.resident (tenant_id, epoch, entry_digest, state, schema_name)
    values (${id}, ${epoch}, ${digest}, ${state}, ${schema})`
}
