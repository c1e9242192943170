-- What happened to orders, partitioned by month.

create table order_events (
  tenant_id uuid not null,
  id uuid not null default gen_random_uuid(),
  order_id uuid not null,
  kind text not null,
  actor text not null,
  data jsonb,
  occurred_at timestamptz not null default now(),
  constraint order_events_pkey primary key (tenant_id, id, occurred_at),
  constraint event_belongs_to_an_order
    foreign key (tenant_id, order_id) references orders (tenant_id, id) on delete cascade
) partition by range (occurred_at);
comment on table order_events is 'Timeline of orders, only ever added to; it goes when its order goes.';
comment on column order_events.occurred_at is 'Chooses the partition, and is therefore in the key.';

create index order_events_by_order on order_events (tenant_id, order_id, occurred_at);

create table order_events_2026_10 partition of order_events
  for values from ('2026-10-01 00:00:00+00') to ('2026-11-01 00:00:00+00');
create table order_events_2026_11 partition of order_events
  for values from ('2026-11-01 00:00:00+00') to ('2026-12-01 00:00:00+00');
create table order_events_2026_12 partition of order_events
  for values from ('2026-12-01 00:00:00+00') to ('2027-01-01 00:00:00+00');
create table order_events_other partition of order_events default;
comment on table order_events_other is 'Events of every month that has no partition of its own.';

select freehold.protect_table('order_events');
