import { type DatabaseAddress, quoteIdentifier, withClient } from '@freehold/postgres'
import { type PreparedCluster, startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'

/** A cluster with a product that has never seen Freehold: tenant columns, and row security written by hand. */
export interface Shop {
  readonly prepared: PreparedCluster
  /** A copy of the product's database, which keeps its tenants apart. */
  copy(name: string): Promise<DatabaseAddress>
  /** A role that may do what the owners of the tables and the applications may, and nothing beyond the database. */
  asDoctor(database: DatabaseAddress): DatabaseAddress
  /** Runs SQL as superuser. */
  run(on: DatabaseAddress, sql: string): Promise<void>
}

const TENANT = `(select nullif(current_setting('app.tenant_id', true), '')::uuid)`
const POLICY = `using (tenant_id = ${TENANT}) with check (tenant_id = ${TENANT})`

/** What a table needs to be safe, for tables that a test adds. */
export const protect = (table: string): string =>
  `alter table ${table} enable row level security; alter table ${table} force row level security;
   create policy own on ${table} ${POLICY}; grant select, insert, update, delete on ${table} to shop_app;`

const SCHEMA = `
  create table tenants (id uuid primary key, name text not null);
  create table countries (code text primary key check (code ~ '^[A-Z]{2}$'), name text not null);
  insert into countries values ('AT', 'Austria'), ('PT', 'Portugal');
  create type invoice_state as enum ('open', 'paid');
  create domain percentage as numeric check (value between 0 and 100);
  create table accounts (
    tenant_id uuid not null references tenants,
    id bigint generated always as identity,
    ticket bigserial,
    name text not null check (length(name) between 3 and 80),
    email varchar(40) not null check (position('@' in email) > 1),
    country text not null references countries,
    discount percentage not null,
    kind text not null check (kind in ('person', 'company')),
    opened_on date not null,
    labels text[] not null,
    settings jsonb not null default '{}',
    primary key (tenant_id, id),
    unique (tenant_id, email),
    check (kind <> 'person' or discount < 50)
  );
  create table invoices (
    tenant_id uuid not null references tenants,
    id uuid not null default gen_random_uuid(),
    account_id bigint not null,
    parent_id uuid,
    state invoice_state not null,
    net numeric(12, 2) not null,
    gross numeric(12, 2) generated always as (net * 1.2) stored,
    primary key (tenant_id, id),
    foreign key (tenant_id, account_id) references accounts (tenant_id, id),
    foreign key (tenant_id, parent_id) references invoices (tenant_id, id)
  );
  create table visits (
    tenant_id uuid not null, at timestamptz not null, page text not null, primary key (tenant_id, at)
  ) partition by range (at);
  create table visits_old partition of visits for values from (minvalue) to ('2020-01-01');
  create table visits_new partition of visits for values from ('2020-01-01') to (maxvalue);
  alter table visits_old enable row level security; alter table visits_old force row level security;
  alter table visits_new enable row level security; alter table visits_new force row level security;
  ${['accounts', 'invoices', 'visits'].map(protect).join('\n')}
  grant select on tenants, countries to shop_app;
  grant usage on all sequences in schema public to shop_app;
  reset role;
  insert into tenants values ('00000000-0000-4000-8000-00000000000a', 'one'), ('00000000-0000-4000-8000-00000000000b', 'two');
  insert into accounts (tenant_id, name, email, country, discount, kind, opened_on, labels)
    select id, 'somebody', 'a@' || name, 'AT', 1, 'person', '2026-01-01', '{}' from tenants;
  insert into invoices (tenant_id, account_id, state, net) select tenant_id, id, 'open', 10 from accounts;
  insert into visits select id, '2026-05-05', '/' from tenants;
`

export async function openShop(): Promise<Shop> {
  const prepared = await startPreparedCluster('doctor')
  const at = (database: string) => asSuperuser(prepared.cluster, database)
  const run = (on: DatabaseAddress, sql: string) =>
    withClient(on, 'test', async (client) => {
      await client.query(sql)
    })
  const create = async (name: string, template: string) => {
    await run(
      at('postgres'),
      `create database ${quoteIdentifier(name)} owner shop_owner template ${template}`,
    )
    return at(name)
  }
  await run(
    at('postgres'),
    `create role shop_owner; create role shop_app login password 'of the shop';
     create role shop_doctor login password 'of the doctor';
     grant shop_owner, shop_app, freehold_owner, freehold_app to shop_doctor`,
  )
  await run(await create('shop', 'template1'), `set role shop_owner; ${SCHEMA}`)
  return {
    prepared,
    copy: (name) => create(name, 'shop'),
    asDoctor: (database) => ({ ...database, user: 'shop_doctor', password: 'of the doctor' }),
    run,
  }
}
