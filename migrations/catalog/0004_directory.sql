-- By what a product knows a tenant from outside: its hosts, its API keys, and the people who are its members.

create table catalog.tenant_hosts (
  id uuid not null default gen_random_uuid(),
  host text not null,
  tenant_id text not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint tenant_hosts_pkey primary key (id),
  constraint host_leads_to_one_tenant unique (host),
  constraint host_is_of_a_tenant foreign key (tenant_id) references catalog.tenants (id) on delete cascade,
  constraint host_is_a_domain_name check (
    length(host) <= 253
    and host ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'
    and host !~ '\.[0-9]+$')
);
comment on table catalog.tenant_hosts is 'Custom domains: the host of a request, and the tenant that it names.';
comment on column catalog.tenant_hosts.host is
  'In lower case and ASCII (xn-- for other scripts), without port and final dot; no address.';
create index hosts_by_tenant on catalog.tenant_hosts (tenant_id, host);
comment on index catalog.hosts_by_tenant is 'The list of a tenant''s hosts.';

create table catalog.api_keys (
  id uuid not null default gen_random_uuid(),
  tenant_id text not null,
  name text not null,
  prefix text not null,
  digest bytea not null,
  scopes text[] not null default '{}',
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz,
  constraint api_keys_pkey primary key (id),
  constraint prefix_means_one_api_key unique (prefix),
  constraint api_key_is_of_a_tenant foreign key (tenant_id) references catalog.tenants (id) on delete cascade,
  constraint api_key_has_a_name check (length(name) between 1 and 200),
  constraint api_key_prefix_is_hexadecimal check (prefix ~ '^[0-9a-f]{16}$'),
  constraint api_key_digest_is_sha256 check (octet_length(digest) = 32),
  constraint api_key_scopes_are_names check (
    cardinality(scopes) <= 32
    and array_to_string(scopes, ' ', '?') ~ '^([a-z][a-z0-9:._-]{0,63}( [a-z][a-z0-9:._-]{0,63})*)?$'),
  constraint api_key_expires_after_it_was_made check (expires_at > created_at)
);
comment on table catalog.api_keys is 'Keys with which programs act as a tenant. The keys themselves are not in here.';
comment on column catalog.api_keys.prefix is 'The part of the key by which it is found; no secret.';
comment on column catalog.api_keys.digest is 'SHA-256 of the whole key, which has 256 random bits.';
comment on column catalog.api_keys.scopes is 'What the key may do, in the product''s words; empty: what needs no scope.';
create index api_keys_by_tenant on catalog.api_keys (tenant_id, created_at desc, id desc);
comment on index catalog.api_keys_by_tenant is 'The list of a tenant''s keys, newest first.';

create function catalog.check_revoked_keys_stay_revoked() returns trigger language plpgsql as $$
begin
  if old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at then
    raise exception using errcode = 'check_violation', constraint = 'revoked_keys_stay_revoked',
      message = 'a revoked key is never good again';
  end if;
  return new;
end
$$;
comment on function catalog.check_revoked_keys_stay_revoked() is 'Whoever took a key away can rely on it.';
create trigger revoked_keys_stay_revoked before update on catalog.api_keys
  for each row execute function catalog.check_revoked_keys_stay_revoked();

create table catalog.memberships (
  id uuid not null default gen_random_uuid(),
  subject text not null,
  tenant_id text not null,
  role text not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint memberships_pkey primary key (id),
  constraint subject_is_a_member_once unique (subject, tenant_id),
  constraint membership_is_in_a_tenant foreign key (tenant_id) references catalog.tenants (id) on delete cascade,
  constraint subject_is_short check (length(subject) between 1 and 255),
  constraint member_role_is_a_name check (role ~ '^[a-z][a-z0-9-]{0,39}$')
);
comment on table catalog.memberships is 'Who may act in which tenant; one person may be in several.';
comment on column catalog.memberships.subject is 'The claim sub of the person''s tokens.';
comment on column catalog.memberships.role is 'What the person is in the tenant, in the product''s words.';
create index memberships_by_tenant on catalog.memberships (tenant_id, subject);
comment on index catalog.memberships_by_tenant is 'The list of a tenant''s members.';

create function catalog.announce_directory() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then perform pg_notify('freehold_placement', old.tenant_id); end if;
  if tg_op <> 'DELETE' then perform pg_notify('freehold_placement', new.tenant_id); end if;
  return null;
end
$$;
comment on function catalog.announce_directory() is
  'Tells routers that what they know of a tenant is old, also by which names and keys it is found.';
create trigger announce_host after insert or update or delete on catalog.tenant_hosts
  for each row execute function catalog.announce_directory();
create trigger announce_api_key after insert or update or delete on catalog.api_keys
  for each row execute function catalog.announce_directory();

create view catalog.members as
  select memberships.subject, memberships.role, tenants.id as tenant_id, tenants.slug, tenants.name, tenants.status
  from catalog.memberships
  join catalog.tenants on tenants.id = memberships.tenant_id;
comment on view catalog.members is 'What a router may see of memberships.';

grant select, insert, delete on catalog.tenant_hosts, catalog.memberships to freehold_control;
grant select, insert, update (revoked_at) on catalog.api_keys to freehold_control;
grant select on catalog.members to freehold_control, freehold_reader;
grant select (host, tenant_id) on catalog.tenant_hosts to freehold_reader;
grant select (id, tenant_id, prefix, digest, scopes, expires_at, revoked_at) on catalog.api_keys to freehold_reader;
