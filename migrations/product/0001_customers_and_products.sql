-- The example product is a shop. Every table of a tenant begins its keys, foreign keys and indexes with the tenant
-- column, so that no reference can cross tenants and every access path begins at one tenant's rows.
-- Names carry no schema: the same files serve a pool, a tenant's own schema and a silo.

create function touch_updated_at() returns trigger
  language plpgsql
as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end
$$;
comment on function touch_updated_at() is
  'Stamps a changed row. Must not fire for rows that a move copies: they keep the stamp they have.';

create table currencies (
  code text primary key,
  name text not null,
  minor_digits smallint not null,
  constraint currency_code_is_iso_4217 check (code ~ '^[A-Z]{3}$'),
  constraint minor_digits_are_few check (minor_digits between 0 and 4)
);
comment on table currencies is 'Currencies in which orders may be placed; the same for every tenant.';
comment on column currencies.code is 'ISO 4217 code.';
comment on column currencies.minor_digits is 'Digits after the decimal point.';

insert into currencies (code, name, minor_digits) values
  ('EUR', 'Euro', 2),
  ('USD', 'US dollar', 2),
  ('GBP', 'Pound sterling', 2),
  ('CHF', 'Swiss franc', 2),
  ('JPY', 'Yen', 0);

create table customers (
  tenant_id uuid not null,
  id uuid not null default gen_random_uuid(),
  email text not null,
  name text not null,
  phone text,
  born_on date,
  address jsonb,
  labels text[] not null default '{}',
  credit_limit numeric(14, 4),
  newsletter boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint customers_pkey primary key (tenant_id, id),
  constraint customer_email_is_unique unique (tenant_id, email),
  constraint customer_email_has_an_at check (position('@' in email) > 1)
);
comment on table customers is 'People and companies who order.';
comment on column customers.address is 'Postal address as the customer gave it; null: not known.';
comment on column customers.credit_limit is 'What may be open at one time; null: no credit.';

create index customers_by_creation on customers (tenant_id, created_at, id);

create trigger customers_touch_updated_at before update on customers
  for each row execute function touch_updated_at();

create table products (
  tenant_id uuid not null,
  id uuid not null default gen_random_uuid(),
  sku text not null,
  name text not null,
  description text,
  price numeric(12, 2) not null,
  currency text not null default 'EUR',
  stock integer not null default 0,
  weight_kg double precision,
  attributes jsonb not null default '{}',
  tags text[] not null default '{}',
  image_digest bytea,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint products_pkey primary key (tenant_id, id),
  constraint product_sku_is_unique unique (tenant_id, sku),
  constraint product_currency_exists foreign key (currency) references currencies (code),
  constraint price_is_not_negative check (price >= 0),
  constraint stock_is_not_negative check (stock >= 0),
  constraint image_digest_is_sha256 check (octet_length(image_digest) = 32)
);
comment on table products is 'What is sold.';
comment on column products.sku is 'Stock keeping unit, the tenant''s own name of the product.';
comment on column products.description is 'Free text of any length; long ones are stored out of line.';
comment on column products.stock is 'Pieces on hand; an order takes them out when it is placed.';
comment on column products.image_digest is 'SHA-256 of the picture, which is kept elsewhere.';

create index products_by_creation on products (tenant_id, created_at, id);
create index products_in_stock on products (tenant_id, stock) where stock > 0;

create trigger products_touch_updated_at before update on products
  for each row execute function touch_updated_at();

select freehold.declare_reference_table('currencies');
select freehold.protect_table('customers');
select freehold.protect_table('products');
