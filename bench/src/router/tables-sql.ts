/** Every table that the same rows are loaded into: one for each system. */
export const tableNames = [
  'items',
  'items_predicates',
  'items_plain',
  'items_set_config',
  'items_drizzle',
  'items_prisma',
  'items_usebetterdev',
] as const

/** The tables beside `items`, each with row security as the system's guide or its command line writes it. */
export const moreTables: readonly string[] = [
  ...['items_plain', 'items_set_config', 'items_drizzle', 'items_prisma'].map((table) =>
    create(table, 'tenant_id, id'),
  ),
  create('items_predicates', 'tenant_id, id'),
  `select freehold.protect_table('items_predicates')`,
  // Its guide gives tables a key of their own and the tenant as a column: its policy can use no index on the tenant.
  create('items_usebetterdev', 'id'),
  'create index on items_usebetterdev (tenant_id)',
  ...['items_set_config', 'items_drizzle', 'items_prisma'].flatMap((table) => [
    `alter table ${table} enable row level security`,
    `alter table ${table} force row level security`,
    `create policy tenant_isolation on ${table}
       using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
       with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)`,
  ]),
  `create function set_tenant_id() returns trigger language plpgsql as $$
   begin
     if new.tenant_id is null and current_setting('app.current_tenant', true) is not null then
       new.tenant_id := current_setting('app.current_tenant', true)::uuid;
     end if;
     return new;
   end $$`,
  'alter table items_usebetterdev enable row level security',
  'alter table items_usebetterdev force row level security',
  `create policy rls_tenant_items_usebetterdev on items_usebetterdev for all
     using ((tenant_id)::text = current_setting('app.current_tenant', true)
       or current_setting('app.bypass_rls', true) = 'true')
     with check ((tenant_id)::text = current_setting('app.current_tenant', true)
       or current_setting('app.bypass_rls', true) = 'true')`,
  `create trigger set_tenant_id_trigger before insert on items_usebetterdev
     for each row execute procedure set_tenant_id()`,
]

function create(table: string, key: string): string {
  return `create table ${table} (
    tenant_id uuid not null,
    id integer not null,
    name text not null,
    quantity integer not null default 0,
    primary key (${key})
  );
  grant select, insert, update, delete on ${table} to freehold_app`
}
