-- Which database this is, where no catalog says so: a product that uses the router alone.

create table freehold.identity (
  only_one boolean primary key default true,
  data_database_id uuid not null default gen_random_uuid(),
  constraint there_is_one_identity check (only_one)
);
comment on table freehold.identity is
  'The id by which entry keys are derived for this database. Written when an existing database is adopted; a catalog '
  'that takes it over later uses the same id. Empty where a catalog has given the database its id.';
grant select on freehold.identity to freehold_control;

-- The role that knows who lives here: it looks residents up and lets tenants in and out, and sees no product's row.
grant usage on schema freehold to freehold_control;
grant select, insert, update, delete on freehold.resident to freehold_control;
grant select on freehold.tenant_schema, freehold.tenant_column_types to freehold_control;
