import type { TenantId } from '@freehold/contract'
import { connectClient, withClient } from '@freehold/postgres'
import type pg from 'pg'
import type { PreparedCluster } from '../kit/control-plane.ts'
import {
  createItemsDatabase,
  newTenantId,
  setResident,
  type TestDatabase,
  testEntryKey,
} from '../kit/tenants.ts'

/** A pool with an attacker and a victim in it, and the things that a product puts around its tables. */
export interface Ground {
  readonly database: TestDatabase
  readonly attacker: TenantId
  readonly victim: TenantId
  readonly attackerKey: string
  readonly victimKey: string
  /** Stands in every row of the victim, and nowhere else. */
  readonly marker: string
  /** Gives the attacker the rows back that an attack may have destroyed, so that the next one has some to use. */
  refill(): Promise<void>
  /** A fingerprint of all that the victim has, seen past row security. */
  victimState(): Promise<string>
}

export async function layGround(prepared: PreparedCluster, name: string): Promise<Ground> {
  const database = await createItemsDatabase(prepared, name)
  const attacker = newTenantId()
  const victim = newTenantId()
  const marker = 'marker-of-the-victim'
  await setResident(database, attacker)
  await setResident(database, victim)
  await withClient(database.owner, 'test', createProductObjects)
  await withClient(database.superuser, 'test', async (client) => {
    await fill(client, attacker, 'own')
    await fill(client, victim, marker)
    await client.query('analyze')
  })
  return {
    database,
    attacker,
    victim,
    attackerKey: testEntryKey(database, attacker),
    victimKey: testEntryKey(database, victim),
    marker,
    refill: () =>
      withClient(database.superuser, 'test', async (client) => {
        for (const table of ['orders', 'items', 'codes', 'events']) {
          await client.query(`delete from ${table} where tenant_id = $1`, [attacker])
        }
        await fill(client, attacker, 'own')
      }),
    victimState: () => withClient(database.superuser, 'test', (client) => fingerprint(client, victim)),
  }
}

/** A session of the application's role; what it is told besides rows is collected. */
export async function openSession(ground: Ground): Promise<{ client: pg.Client; notices: string[] }> {
  const client = await connectClient(ground.database.app, 'attacker')
  const notices: string[] = []
  client.on('notice', (notice) => notices.push(`${notice.message} ${notice.detail ?? ''}`))
  return { client, notices }
}

export async function enterAsAttacker(client: pg.Client, ground: Ground): Promise<void> {
  await client.query('begin')
  await client.query('select freehold.enter_writer($1, $2)', [ground.attacker, ground.attackerKey])
}

async function createProductObjects(client: pg.Client): Promise<void> {
  await client.query(`
    create table orders (
      tenant_id uuid not null,
      id integer not null,
      item_id integer not null,
      note text,
      primary key (tenant_id, id),
      foreign key (tenant_id, item_id) references items on delete cascade on update cascade
    );
    select freehold.protect_table('orders');

    create table codes (tenant_id uuid not null, code text not null unique, note text, primary key (tenant_id, code));
    select freehold.protect_table('codes');

    create table events (
      tenant_id uuid not null,
      id integer generated always as identity,
      day date not null,
      note text,
      primary key (tenant_id, id, day)
    ) partition by range (day);
    create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
    create table events_rest partition of events default;
    select freehold.protect_table('events');
    create table events_2027 (like events including all);

    create sequence ticket_numbers;
    create table tickets (tenant_id uuid not null, id bigint not null default nextval('ticket_numbers'), primary key (tenant_id, id));
    select freehold.protect_table('tickets');

    create view all_items as select * from items;
    create materialized view item_names as select tenant_id, name from items;
    create function items_of_owner() returns setof items language sql security definer
      set search_path = public as 'select * from items';
    -- As leaky as can be: it is cheap, so the planner would like to call it first, and it tells what it sees.
    create function leak(value text) returns boolean language plpgsql cost 0.0000001 as
      $$ begin raise notice 'leaked: %', value; return true; end $$;
    create function leaks_less(a text, b text) returns boolean language plpgsql cost 0.0000001 as
      $$ begin raise notice 'leaked: % %', a, b; return a < b; end $$;
    create operator public.<<<< (leftarg = text, rightarg = text, function = leaks_less);
    create view bare_items as select * from items where tenant_id = (select tenant_id from freehold.entered)::uuid;

    grant select, insert, update, delete on all_items to freehold_app;
    grant select on item_names to freehold_app;
  `)
}

async function fill(client: pg.Client, tenant: TenantId, text: string): Promise<void> {
  for (const insert of [
    `insert into items select $1, n, $2 || '-' || n, n from generate_series(1, 50) n`,
    'insert into orders select $1, n, n, $2 from generate_series(1, 50) n',
    `insert into codes values ($1::uuid, 'code of ' || $2, $2)`,
    `insert into events (tenant_id, day, note) values ($1, '2026-05-05', $2), ($1, '2020-01-01', $2)`,
  ]) {
    await client.query(insert, [tenant, text])
  }
}

async function fingerprint(client: pg.Client, victim: TenantId): Promise<string> {
  const parts: string[] = []
  for (const table of ['items', 'orders', 'codes', 'events', 'freehold.resident']) {
    const { rows } = await client.query<{ state: string }>(
      `select count(*) || ':' || coalesce(sum(hash_record_extended(row(x.*), 0)), 0) as state
       from ${table} x where tenant_id::text = $1`,
      [victim],
    )
    parts.push(`${table}=${rows[0]?.state}`)
  }
  return parts.join(' ')
}
