import type { DeclaredTables } from '@freehold/tenancy'
import type { ColumnType, Generated } from 'kysely'

/** Shared by two tenants whose ids collide on purpose. Every row carries a marker that tells whose it is. */
export const CREATE_TABLES = `
  create table regions (code text primary key, name text not null, rank integer not null);
  insert into regions values ('n', 'north', 1), ('s', 'south', 2), ('e', 'east', 3), ('w', 'west', 3);
  select freehold.declare_reference_table('regions');

  create table customers (
    tenant_id uuid not null,
    id integer not null,
    name text not null,
    tier text,
    credit integer check (credit >= 0),
    region text references regions,
    marker text generated always as ('of ' || tenant_id::text) stored,
    primary key (tenant_id, id)
  );
  create table orders (
    tenant_id uuid not null,
    id integer not null,
    customer_id integer,
    status text not null default 'new',
    total integer,
    placed_on date,
    marker text generated always as ('of ' || tenant_id::text) stored,
    primary key (tenant_id, id),
    foreign key (tenant_id, customer_id) references customers on delete set null (customer_id)
  );
  create index on orders (tenant_id, customer_id);
  create table lines (
    tenant_id uuid not null,
    order_id integer not null,
    line_no integer not null,
    product text not null,
    quantity integer not null default 1,
    price integer,
    marker text generated always as ('of ' || tenant_id::text) stored,
    primary key (tenant_id, order_id, line_no),
    foreign key (tenant_id, order_id) references orders on delete cascade
  );
  create table events (
    tenant_id uuid not null,
    id integer not null,
    day date not null,
    kind text not null,
    payload jsonb,
    marker text generated always as ('of ' || tenant_id::text) stored,
    primary key (tenant_id, id, day)
  ) partition by range (day);
  create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01');
  create table events_rest partition of events default;
`

/** In the order in which they refer to each other. */
export const TENANT_TABLES = ['customers', 'orders', 'lines', 'events'] as const

export const TABLES: DeclaredTables = { tenant: TENANT_TABLES, reference: ['regions'] }

/** Filled in by the database or by the predicates. */
type Filled<T> = ColumnType<T, T | undefined, T>

export interface FuzzTables {
  regions: { code: string; name: string; rank: number }
  customers: {
    tenant_id: Filled<string>
    id: number
    name: string
    tier: string | null
    credit: number | null
    region: string | null
    marker: Generated<string>
  }
  orders: {
    tenant_id: Filled<string>
    id: number
    customer_id: number | null
    status: Generated<string>
    total: number | null
    placed_on: string | null
    marker: Generated<string>
  }
  lines: {
    tenant_id: Filled<string>
    order_id: number
    line_no: number
    product: string
    quantity: Generated<number>
    price: number | null
    marker: Generated<string>
  }
  events: {
    tenant_id: Filled<string>
    id: number
    day: string
    kind: string
    payload: string | null
    marker: Generated<string>
  }
}

/** What a tenant has at the start: the same ids for everybody, other values. */
export function fillStatements(tenant: string, salt: number): string[] {
  return [
    `insert into customers (tenant_id, id, name, tier, credit, region)
     select '${tenant}'::uuid, n, 'customer ' || n * ${salt} % 7, (array['free', 'pro', null])[1 + (n + ${salt}) % 3],
       case when n % 4 = 0 then null else n * ${salt} % 50 end, (array['n', 's', 'e', null])[1 + (n * ${salt}) % 4]
     from generate_series(1, 8) n`,
    `insert into orders (tenant_id, id, customer_id, status, total, placed_on)
     select '${tenant}'::uuid, n, case when n % 5 = 0 then null else 1 + (n * ${salt}) % 8 end,
       (array['new', 'paid', 'sent'])[1 + (n + ${salt}) % 3], nullif(n * ${salt} % 90, 0), date '2025-12-20' + n
     from generate_series(1, 14) n`,
    `insert into lines (tenant_id, order_id, line_no, product, quantity, price)
     select '${tenant}'::uuid, 1 + n % 12, n, 'product ' || (n * ${salt}) % 5, 1 + n * ${salt} % 4, nullif(n * ${salt} % 30, 7)
     from generate_series(1, 20) n`,
    `insert into events (tenant_id, id, day, kind, payload)
     select '${tenant}'::uuid, n, date '2025-12-28' + n, (array['click', 'view'])[1 + (n + ${salt}) % 2],
       case when n % 3 = 0 then null else jsonb_build_object('n', n * ${salt}, 'tags', jsonb_build_array('t' || n % 2)) end
     from generate_series(1, 10) n`,
  ]
}
