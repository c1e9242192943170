// Made by `npm run manifest` from migrations/data: what the schema freehold holds, and nothing else.
import type { FreeholdManifest } from './freehold-objects.ts'

export const FREEHOLD_MANIFEST: FreeholdManifest = {
  objects: {
    'schema freehold': {
      digest: 'e3b0c44298fc1c149afbf4c8996fb924',
      create: null,
    },
    'schema freehold_migrations': {
      digest: 'e3b0c44298fc1c149afbf4c8996fb924',
      create: null,
    },
    'table freehold.applied': {
      digest: '9e958c697a9803374ae85c3bb588fd86',
      create: null,
    },
    'table freehold.change': {
      digest: '2b5797616e74c8d0056db498a69c1df8',
      create: null,
    },
    'view freehold.entered': {
      digest: '16465bd6d71e3114a9b9572632062edc',
      create:
        "create or replace view freehold.entered with (security_barrier=true) as  SELECT\n        CASE\n            WHEN ((state <> 'standby'::freehold.residency_state) AND (state <> 'moved'::freehold.residency_state)) THEN tenant_id\n            ELSE freehold.late_reader(tenant_id, state, left_at)\n        END AS tenant_id,\n    schema_name\n   FROM freehold.resident\n  WHERE (entry_digest = sha256(convert_to(current_setting('freehold.entry'::text, true), 'UTF8'::name)));",
    },
    'view freehold.entered_to_write': {
      digest: '4fddfa989ba1b4f5b01832055ab586c5',
      create:
        "create or replace view freehold.entered_to_write with (security_barrier=true) as  SELECT COALESCE(\n        CASE\n            WHEN (CURRENT_USER = 'freehold_mover'::name) THEN tenant_id\n            WHEN (NOT is_open) THEN NULL::text\n            WHEN pg_try_advisory_xact_lock_shared(freehold.lock_key(tenant_id)) THEN\n            CASE\n                WHEN (xmax = '0'::xid) THEN tenant_id\n                ELSE NULL::text\n            END\n            ELSE NULL::text\n        END, freehold.late_writer(tenant_id, entry_digest)) AS tenant_id,\n    schema_name\n   FROM freehold.resident\n  WHERE (entry_digest = sha256(convert_to(current_setting('freehold.entry'::text, true), 'UTF8'::name)));",
    },
    'table freehold.identity': {
      digest: 'e756da5f3e712c4e57a7e912c3b0568d',
      create: null,
    },
    'table freehold.managed_table': {
      digest: '543e0f90ac96a5992fbd192f3747767c',
      create: null,
    },
    'table freehold.resident': {
      digest: 'b807f316f2fb3a48ec71f3199b44a2f7',
      create: null,
    },
    'view freehold.tenant_column_types': {
      digest: '91f580c6b62994fe7c1bba4351579c13',
      create:
        'create or replace view freehold.tenant_column_types as  SELECT DISTINCT format_type(attribute.atttypid, attribute.atttypmod) AS column_type\n   FROM (freehold.managed_table\n     JOIN pg_attribute attribute ON (((attribute.attrelid = (managed_table.relation)::oid) AND (attribute.attname = managed_table.tenant_column) AND (NOT attribute.attisdropped))));',
    },
    'table freehold.tenant_schema': {
      digest: 'ccc2c5ea0b19098715312c7ec055b6d2',
      create: null,
    },
    'table freehold_migrations.*': {
      digest: 'f59391a02bd793b648f6d43eb68b0486',
      create: null,
    },
    'function freehold.announce_resident()': {
      digest: '5cd96876a92b65c809eb561b632c074c',
      create:
        "CREATE OR REPLACE FUNCTION freehold.announce_resident()\n RETURNS trigger\n LANGUAGE plpgsql\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\nbegin\n  if exists (select from freehold.identity) then\n    perform pg_notify('freehold_resident', coalesce(new.tenant_id, old.tenant_id));\n  end if;\n  return null;\nend\n$function$;",
    },
    'function freehold.check_tenant_id_is_canonical()': {
      digest: '144a3972b5a377052d0af5d9b847b25b',
      create:
        "CREATE OR REPLACE FUNCTION freehold.check_tenant_id_is_canonical()\n RETURNS trigger\n LANGUAGE plpgsql\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\nbegin\n  if exists (\n    select from freehold.tenant_column_types types\n    where not freehold.is_canonical(new.tenant_id, types.column_type)\n  ) then\n    raise exception using errcode = 'check_violation', constraint = 'tenant_id_is_canonical',\n      message = 'the tenant''s id is not a canonical value of the tenant column''s type';\n  end if;\n  return new;\nend\n$function$;",
    },
    'function freehold.create_tenant_schema(name)': {
      digest: '609357061021ebff8d8265b18700d4ef',
      create:
        "CREATE OR REPLACE FUNCTION freehold.create_tenant_schema(name name)\n RETURNS void\n LANGUAGE plpgsql\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\nbegin\n  insert into freehold.tenant_schema (schema_name) values (name);\n  execute format('create schema %I', name);\n  execute format('grant usage on schema %I to freehold_app, freehold_mover', name);\nend\n$function$;",
    },
    'function freehold.current_tenant()': {
      digest: 'ff5a6530d4be9aeef052689795745f2e',
      create:
        'CREATE OR REPLACE FUNCTION freehold.current_tenant()\n RETURNS text\n LANGUAGE sql\n STABLE PARALLEL SAFE\nRETURN (SELECT entered.tenant_id FROM freehold.entered);',
    },
    'function freehold.declare_reference_table(regclass)': {
      digest: '9a5c8485a703b54586b9f76e1c385474',
      create:
        "CREATE OR REPLACE FUNCTION freehold.declare_reference_table(relation regclass)\n RETURNS void\n LANGUAGE plpgsql\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\nbegin\n  execute format('revoke all on %s from public, freehold_app, freehold_mover', relation);\n  perform freehold.open_schema_of(relation);\n  execute format('grant select on %s to freehold_app, freehold_mover', relation);\n  insert into freehold.managed_table (relation, kind) values (relation, 'reference')\n  on conflict on constraint managed_table_pkey do update set kind = excluded.kind, tenant_column = null;\nend\n$function$;",
    },
    'function freehold.enter_reader(text)': {
      digest: 'b3a2a397e32043da6e48e17d85fc0e85',
      create:
        "CREATE OR REPLACE FUNCTION freehold.enter_reader(entry_key text)\n RETURNS void\n LANGUAGE plpgsql\n STABLE SECURITY DEFINER\nAS $function$\ndeclare\n  own_schema pg_catalog.name;\n  ignored pg_catalog.text;\nbegin\n  select resident.schema_name into own_schema\n  from freehold.resident\n  where resident.entry_digest operator(pg_catalog.=)\n        pg_catalog.sha256(pg_catalog.convert_to(entry_key, 'UTF8'))\n    and resident.state operator(pg_catalog.<>) 'standby'\n    and resident.state operator(pg_catalog.<>) 'moved';\n  if not found then\n    raise exception using errcode = 'FH001', message = 'the tenant is not resident here at this epoch';\n  end if;\n  ignored := pg_catalog.set_config('freehold.entry', entry_key, true);\n  ignored := pg_catalog.set_config('transaction_read_only', 'on', true);\n  if own_schema is not null then\n    ignored := pg_catalog.set_config('search_path',\n      pg_catalog.quote_ident(own_schema) operator(pg_catalog.||) ', public', true);\n  end if;\nend\n$function$;",
    },
    'function freehold.enter_writer(text,text)': {
      digest: 'ae7178b2a892be2a9722321d44cfa6f2',
      create:
        "CREATE OR REPLACE FUNCTION freehold.enter_writer(tenant text, entry_key text)\n RETURNS void\n LANGUAGE plpgsql\n SECURITY DEFINER\nAS $function$\ndeclare\n  own_schema pg_catalog.name;\n  is_open pg_catalog.bool;\n  ignored pg_catalog.text;\nbegin\n  if pg_catalog.current_setting('transaction_isolation') operator(pg_catalog.=) any\n      (array['repeatable read', 'serializable'])\n    and not freehold.session_holds_lock(tenant) then\n    raise exception using errcode = 'active_sql_transaction',\n      message = 'a transaction with one snapshot needs the tenant''s lock before it begins',\n      hint = 'Take pg_try_advisory_lock_shared(freehold.lock_key(tenant)) first, or use READ COMMITTED.';\n  end if;\n  -- The lock comes first, and the residency is read by a later statement with a fresh snapshot, for which the function is\n  -- volatile: checked the other way round, a fence could fall between the check and the lock. Tried and never waited for:\n  -- a held tenant must not occupy connections.\n  if not pg_catalog.pg_try_advisory_xact_lock_shared(freehold.lock_key(tenant)) then\n    raise exception using errcode = 'FH002', message = 'the tenant is being switched to another placement';\n  end if;\n  -- The key alone says who enters; it must be the tenant whose lock was taken.\n  select resident.schema_name,\n    resident.state operator(pg_catalog.=) 'active'\n      or resident.state operator(pg_catalog.=) 'fenced'\n        and resident.fence_expires_at operator(pg_catalog.<=) pg_catalog.clock_timestamp()\n  into own_schema, is_open\n  from freehold.resident\n  where resident.entry_digest operator(pg_catalog.=)\n        pg_catalog.sha256(pg_catalog.convert_to(entry_key, 'UTF8'))\n    and pg_catalog.texteq(resident.tenant_id, tenant)\n    and resident.state operator(pg_catalog.<>) 'standby'\n    and resident.state operator(pg_catalog.<>) 'moved';\n  if not found then\n    raise exception using errcode = 'FH001', message = 'the tenant is not resident here at this epoch';\n  end if;\n  if is_open is not true then\n    raise exception using errcode = 'FH002', message = 'the tenant is being switched to another placement';\n  end if;\n  ignored := pg_catalog.set_config('freehold.entry', entry_key, true);\n  ignored := pg_catalog.set_config('freehold.tenant_id', tenant, true);\n  if own_schema is not null then\n    ignored := pg_catalog.set_config('search_path',\n      pg_catalog.quote_ident(own_schema) operator(pg_catalog.||) ', public', true);\n  end if;\nend\n$function$;",
    },
    'function freehold.exact_key(record,text)': {
      digest: '0c9bd78509ecda90c43db70fceeb1028',
      create:
        "CREATE OR REPLACE FUNCTION freehold.exact_key(changed record, expression text)\n RETURNS text[]\n LANGUAGE plpgsql\n STABLE\n SET search_path TO 'pg_catalog', 'pg_temp'\n SET \"DateStyle\" TO 'ISO, YMD'\n SET \"IntervalStyle\" TO 'postgres'\n SET \"TimeZone\" TO 'UTC'\n SET extra_float_digits TO '1'\n SET bytea_output TO 'hex'\n SET lc_monetary TO 'C'\nAS $function$\ndeclare\n  key text[];\nbegin\n  execute expression into key using changed;\n  return key;\nend\n$function$;",
    },
    'function freehold.is_canonical(text,text)': {
      digest: 'c444e25d42842242258bc45d2d1d54a4',
      create:
        "CREATE OR REPLACE FUNCTION freehold.is_canonical(tenant text, column_type text)\n RETURNS boolean\n LANGUAGE plpgsql\n STABLE STRICT\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\ndeclare\n  canonical boolean;\nbegin\n  execute format('select ($1::%s)::text = $1', column_type) into canonical using tenant;\n  return canonical;\nexception when data_exception then\n  return false;\nend\n$function$;",
    },
    'function freehold.is_schema_of_another(name)': {
      digest: '5f84ef62188e601974fa681c6f937b65',
      create:
        "CREATE OR REPLACE FUNCTION freehold.is_schema_of_another(name name)\n RETURNS boolean\n LANGUAGE sql\n STABLE SECURITY DEFINER\n SET search_path TO 'pg_catalog', 'pg_temp'\nRETURN (EXISTS (SELECT FROM freehold.tenant_schema WHERE ((tenant_schema.schema_name = is_schema_of_another.name) AND (tenant_schema.schema_name IS DISTINCT FROM (SELECT entered.schema_name FROM freehold.entered)))));",
    },
    'function freehold.late_reader(text,freehold.residency_state,timestamp with time zone)': {
      digest: '46fac2c71b152903de230bf9d3ed9e56',
      create:
        "CREATE OR REPLACE FUNCTION freehold.late_reader(tenant text, state freehold.residency_state, left_at timestamp with time zone)\n RETURNS text\n LANGUAGE plpgsql\n STABLE PARALLEL SAFE\nAS $function$\nbegin\n  -- The mover loads and purges as a tenant that nobody may enter.\n  if current_user operator(pg_catalog.=) 'freehold_mover'\n    or state operator(pg_catalog.=) 'moved'\n      and coalesce(left_at operator(pg_catalog.>) pg_catalog.transaction_timestamp(), true) then\n    return tenant;\n  end if;\n  raise exception using errcode = 'FH001', message = 'the tenant is not resident here at this epoch',\n    hint = 'This transaction has not entered as the tenant, and holds a key of before it was moved.';\nend\n$function$;",
    },
    'function freehold.late_writer(text,bytea)': {
      digest: '4a6741b56faa7c5af8a395f885eaf25c',
      create:
        "CREATE OR REPLACE FUNCTION freehold.late_writer(tenant text, digest bytea)\n RETURNS text\n LANGUAGE plpgsql\n SECURITY DEFINER\nAS $function$\ndeclare\n  mark freehold.residency_state;\n  is_replaced pg_catalog.bool;\nbegin\n  if not pg_catalog.pg_try_advisory_xact_lock_shared(freehold.lock_key(tenant)) then\n    raise exception using errcode = 'FH002', message = 'the tenant is being switched to another placement',\n      hint = 'This transaction has not entered as the tenant.';\n  end if;\n  -- With a snapshot of its own, which is younger than the lock, unless the transaction has but one.\n  select resident.state, resident.xmax operator(pg_catalog.<>) '0' into mark, is_replaced\n  from freehold.resident\n  where resident.entry_digest operator(pg_catalog.=) digest;\n  if not found or mark operator(pg_catalog.=) any (array['standby', 'moved']::freehold.residency_state[]) then\n    raise exception using errcode = 'FH001', message = 'the tenant is not resident here at this epoch',\n      hint = 'This transaction has not entered as the tenant.';\n  end if;\n  if mark operator(pg_catalog.<>) all (array['active', 'fenced']::freehold.residency_state[]) then\n    raise exception using errcode = 'FH002', message = 'the tenant is being switched to another placement',\n      hint = 'This transaction has not entered as the tenant.';\n  end if;\n  if is_replaced and pg_catalog.current_setting('transaction_isolation') operator(pg_catalog.=) any\n      (array['repeatable read', 'serializable']) then\n    -- The mark has been changed since the snapshot. A fence changes no key; the seal does, and that raises 40001 here.\n    perform from freehold.resident where resident.entry_digest operator(pg_catalog.=) digest for key share;\n  end if;\n  return tenant;\nend\n$function$;",
    },
    'function freehold.lock_key(text)': {
      digest: 'ebb26b4703aafb57e7791f6efda12137',
      create:
        'CREATE OR REPLACE FUNCTION freehold.lock_key(tenant text)\n RETURNS bigint\n LANGUAGE sql\n IMMUTABLE PARALLEL SAFE STRICT\nRETURN hashtextextended(tenant, (5067264)::bigint);',
    },
    'function freehold.make_policies(regclass,name)': {
      digest: '88a314e4977153063daa7ae3cbb0ad68',
      create:
        "CREATE OR REPLACE FUNCTION freehold.make_policies(relation regclass, tenant_column name)\n RETURNS void\n LANGUAGE plpgsql\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\ndeclare\n  -- Compared with the schema as well: rows that a move has left behind, or not yet brought, belong to nobody's view.\n  -- The scalar subquery is evaluated once per query, not per row, and leaves the index on the column usable. The schema is no\n  -- condition of it: without statistics the planner could look for that instead, and compute a digest for every resident.\n  is_tenant constant text := '%1$I operator(pg_catalog.=) (select case when %2$s.schema_name %3$s'\n    ' then %2$s.tenant_id end as tenant_id from freehold.%2$s)::%4$s';\n  column_type constant text := freehold.tenant_column_type(relation, tenant_column);\n  own_schema text;\n  may_see text;\n  may_write text;\n  partition regclass;\nbegin\n  select format('= %L', tenant_schema.schema_name) into own_schema\n  from pg_class class\n  join pg_namespace namespace on namespace.oid = class.relnamespace\n  join freehold.tenant_schema on tenant_schema.schema_name = namespace.nspname\n  where class.oid = relation;\n  own_schema := coalesce(own_schema, 'is null');\n  may_see := format(is_tenant, tenant_column, 'entered', own_schema, column_type);\n  may_write := format(is_tenant, tenant_column, 'entered_to_write', own_schema, column_type);\n  for partition in\n    select tree.relid from pg_partition_tree(relation) tree\n    union all select relation where not exists (select from pg_partition_tree(relation))\n  loop\n    execute format('drop policy if exists freehold_tenant on %s', partition);\n    execute format('create policy freehold_tenant on %s using (%s) with check (%s)', partition, may_see, may_write);\n    -- Of a DELETE a policy for all commands asks nothing but USING, which a SELECT is asked as well.\n    execute format('drop policy if exists freehold_delete on %s', partition);\n    execute format('create policy freehold_delete on %s as restrictive for delete using (%s)', partition, may_write);\n  end loop;\nend\n$function$;",
    },
    'function freehold.open_schema_of(regclass)': {
      digest: 'f407e6481e6ef58d9d7554848b305395',
      create:
        "CREATE OR REPLACE FUNCTION freehold.open_schema_of(relation regclass)\n RETURNS void\n LANGUAGE plpgsql\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\ndeclare\n  schema_name name;\n  role_name name;\nbegin\n  select nspname into schema_name from pg_namespace where oid = (select relnamespace from pg_class where oid = relation);\n  foreach role_name in array array['freehold_owner', 'freehold_app', 'freehold_mover']::name[] loop\n    if not has_schema_privilege(role_name, schema_name::text, 'usage') then\n      execute format('grant usage on schema %I to %I', schema_name, role_name);\n    end if;\n  end loop;\nend\n$function$;",
    },
    'function freehold.protect_table(regclass,name)': {
      digest: '3506db2f06a9d8abb471e87f23d3a724',
      create:
        "CREATE OR REPLACE FUNCTION freehold.protect_table(relation regclass, tenant_column name DEFAULT 'tenant_id'::name)\n RETURNS void\n LANGUAGE plpgsql\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\ndeclare\n  column_type text := freehold.tenant_column_type(relation, tenant_column);\n  partition regclass;\n  used_sequence regclass;\nbegin\n  if column_type not in (select types.column_type from freehold.tenant_column_types types)\n    and exists (select from freehold.resident where not freehold.is_canonical(tenant_id, column_type)) then\n    raise exception using errcode = 'check_violation', constraint = 'tenant_id_is_canonical',\n      message = format('a resident''s id is not a canonical value of type %s', column_type);\n  end if;\n  for partition in\n    select tree.relid from pg_partition_tree(relation) tree\n    union all select relation where not exists (select from pg_partition_tree(relation))\n  loop\n    execute format('alter table %s enable row level security', partition);\n    execute format('alter table %s force row level security', partition);\n    execute format('revoke all on %s from public, freehold_app, freehold_mover', partition);\n  end loop;\n  perform freehold.make_policies(relation, tenant_column);\n\n  execute format('alter table %s alter column %I set default freehold.tenant_to_write()::%s',\n    relation, tenant_column, column_type);\n  execute format('alter table %s alter column %I set not null', relation, tenant_column);\n  perform freehold.open_schema_of(relation);\n  execute format('grant select, insert, update, delete on %s to freehold_app, freehold_mover', relation);\n  for used_sequence in\n    -- What a column owns (serial, identity), and what a default only names.\n    select dependency.objid from pg_depend dependency\n    join pg_class class on class.oid = dependency.objid and class.relkind = 'S'\n    where dependency.refobjid = relation and dependency.refclassid = 'pg_class'::regclass\n      and dependency.classid = 'pg_class'::regclass and dependency.deptype in ('a', 'i')\n    union\n    select dependency.refobjid from pg_attrdef column_default\n    join pg_depend dependency on dependency.objid = column_default.oid\n      and dependency.classid = 'pg_attrdef'::regclass and dependency.refclassid = 'pg_class'::regclass\n    join pg_class class on class.oid = dependency.refobjid and class.relkind = 'S'\n    where column_default.adrelid = relation\n  loop\n    -- Without UPDATE: nobody sets a sequence back under the other tenants. With USAGE, which inserting takes, it can\n    -- be seen where the sequence stands, and so how much all tenants together insert.\n    execute format('grant usage on sequence %s to freehold_app', used_sequence);\n    execute format('grant usage, select, update on sequence %s to freehold_mover', used_sequence);\n  end loop;\n\n  insert into freehold.managed_table (relation, kind, tenant_column) values (relation, 'tenant', tenant_column)\n  on conflict on constraint managed_table_pkey do update\n    set kind = excluded.kind, tenant_column = excluded.tenant_column;\nend\n$function$;",
    },
    'function freehold.record_change()': {
      digest: 'e6073bc30f1fa75da222d615e99dd2cf',
      create:
        "CREATE OR REPLACE FUNCTION freehold.record_change()\n RETURNS trigger\n LANGUAGE plpgsql\n SECURITY DEFINER\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\ndeclare\n  former text[];\n  latter text[];\nbegin\n  if tg_op = 'TRUNCATE' then\n    insert into freehold.change (stream, tenant_id, relation, kind)\n    values (tg_argv[0], tg_argv[1], tg_argv[2], 'truncate');\n    return null;\n  end if;\n  begin\n    if tg_argv[5] = 'exact' then\n      if tg_op <> 'INSERT' then former := freehold.exact_key(old, tg_argv[3]); end if;\n      if tg_op <> 'DELETE' then latter := freehold.exact_key(new, tg_argv[3]); end if;\n    else\n      if tg_op <> 'INSERT' then execute tg_argv[3] into former using old; end if;\n      if tg_op <> 'DELETE' then execute tg_argv[3] into latter using new; end if;\n    end if;\n  exception when others then\n    -- Nobody's write may fail because somebody has renamed a column while a tenant moves. The move ends instead.\n    insert into freehold.change (stream, tenant_id, relation, kind)\n    values (tg_argv[0], tg_argv[1], tg_argv[2], 'unknown');\n    return null;\n  end;\n  -- A row that changes its tenant has one key here and one that is none of this tenant's business.\n  if former[tg_argv[4]::integer] = tg_argv[1] then\n    insert into freehold.change (stream, tenant_id, relation, kind, key)\n    values (tg_argv[0], tg_argv[1], tg_argv[2], 'row', former);\n  end if;\n  if latter[tg_argv[4]::integer] = tg_argv[1] and latter is distinct from former then\n    insert into freehold.change (stream, tenant_id, relation, kind, key)\n    values (tg_argv[0], tg_argv[1], tg_argv[2], 'row', latter);\n  end if;\n  return null;\nend\n$function$;",
    },
    'function freehold.renew_policies()': {
      digest: '4441d1c5355716d19b95b11e14bf1025',
      create:
        "CREATE OR REPLACE FUNCTION freehold.renew_policies()\n RETURNS void\n LANGUAGE plpgsql\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\ndeclare\n  managed record;\nbegin\n  for managed in\n    select managed_table.relation, managed_table.tenant_column\n    from freehold.managed_table\n    join pg_class class on class.oid = managed_table.relation and pg_has_role(class.relowner, 'usage')\n    join pg_attribute attribute on attribute.attrelid = class.oid and attribute.attname = managed_table.tenant_column\n    where managed_table.kind = 'tenant'\n    order by class.oid\n  loop\n    perform freehold.make_policies(managed.relation, managed.tenant_column);\n  end loop;\nend\n$function$;",
    },
    'function freehold.session_holds_lock(text)': {
      digest: '1afa0180b005e3fcfa7d1b25e5c1fda1',
      create:
        "CREATE OR REPLACE FUNCTION freehold.session_holds_lock(tenant text)\n RETURNS boolean\n LANGUAGE sql\n PARALLEL RESTRICTED STRICT\nRETURN (EXISTS (SELECT FROM pg_locks held WHERE ((held.locktype = 'advisory'::text) AND (held.pid = pg_backend_pid()) AND held.granted AND (held.objsubid = 1) AND ((((held.classid)::bigint << 32) | (held.objid)::bigint) = freehold.lock_key(session_holds_lock.tenant)))));",
    },
    'function freehold.set_is_open()': {
      digest: '62ffc858e59c3d04e569eb9ec3975244',
      create:
        "CREATE OR REPLACE FUNCTION freehold.set_is_open()\n RETURNS trigger\n LANGUAGE plpgsql\nAS $function$\nbegin\n  update freehold.resident\n  set is_open = resident.state operator(pg_catalog.=) any (array['active', 'fenced']::freehold.residency_state[])\n  where resident.entry_digest operator(pg_catalog.=) new.entry_digest;\n  return null;\nend\n$function$;",
    },
    'function freehold.stage_rows(regclass,text[])': {
      digest: '9ba6e450c17bd44c9f15cff1dcfe0962',
      create:
        "CREATE OR REPLACE FUNCTION freehold.stage_rows(relation regclass, columns text[], OUT staged text, OUT tenant_column name, OUT tenant_type text)\n RETURNS record\n LANGUAGE plpgsql\n SECURITY DEFINER\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\ndeclare\n  name text := 'staged_' || replace(gen_random_uuid()::text, '-', '');\nbegin\n  select managed_table.tenant_column, format_type(attribute.atttypid, attribute.atttypmod)\n  into tenant_column, tenant_type\n  from freehold.managed_table\n  join pg_attribute attribute on attribute.attrelid = managed_table.relation\n    and attribute.attname = managed_table.tenant_column\n  where managed_table.relation = stage_rows.relation and managed_table.kind = 'tenant';\n  if not found then\n    raise exception using errcode = 'wrong_object_type',\n      message = format('%s is not a table of tenants', relation),\n      hint = 'Declare it with freehold.protect_table().';\n  end if;\n  execute format('create temporary table %I on commit drop as select %s from %s with no data', name,\n    (select string_agg(quote_ident(listed.name), ', ' order by listed.position)\n     from unnest(columns) with ordinality listed (name, position)), relation);\n  execute format('grant select, insert on pg_temp.%I to %I', name, session_user);\n  staged := format('pg_temp.%I', name);\nend\n$function$;",
    },
    'function freehold.tenant_column_type(regclass,name)': {
      digest: 'e01dbd1c05a0276f9834d08f0f46a54c',
      create:
        "CREATE OR REPLACE FUNCTION freehold.tenant_column_type(relation regclass, tenant_column name)\n RETURNS text\n LANGUAGE plpgsql\n STABLE\n SET search_path TO 'pg_catalog', 'pg_temp'\nAS $function$\ndeclare\n  column_type text;\n  tells_apart boolean;\nbegin\n  select format_type(attribute.atttypid, attribute.atttypmod),\n    attribute.atttypid in ('uuid'::regtype, 'bigint'::regtype, 'integer'::regtype, 'text'::regtype, 'varchar'::regtype)\n      and coalesce(collation_.collisdeterministic, true)\n  into column_type, tells_apart\n  from pg_attribute attribute\n  left join pg_collation collation_ on collation_.oid = attribute.attcollation\n  where attribute.attrelid = relation and attribute.attname = tenant_column and not attribute.attisdropped;\n  if column_type is null then\n    raise exception using errcode = 'undefined_column',\n      message = format('table %s has no tenant column %I', relation, tenant_column),\n      hint = 'Add the column, or declare the table with freehold.declare_reference_table().';\n  end if;\n  if not tells_apart then\n    raise exception using errcode = 'datatype_mismatch',\n      message = format('tenant column %I of table %s has the type %s', tenant_column, relation, column_type),\n      hint = 'Use uuid, bigint, integer, text or varchar, and a deterministic collation.';\n  end if;\n  return column_type;\nend\n$function$;",
    },
    'function freehold.tenant_to_write()': {
      digest: 'c4d9e954d1218936f7d09daaa865f88e',
      create:
        "CREATE OR REPLACE FUNCTION freehold.tenant_to_write()\n RETURNS text\n LANGUAGE sql\n STABLE PARALLEL SAFE\nRETURN NULLIF(current_setting('freehold.tenant_id'::text, true), ''::text);",
    },
    'type freehold.change_kind': {
      digest: 'a96e8d92dcd688e23da15e62e2c9857a',
      create: null,
    },
    'type freehold.residency_state': {
      digest: '569275f65f19f80b0e7c8f0afd7c70d0',
      create: null,
    },
    'type freehold.table_kind': {
      digest: '3a225bcb06a69b22e37163d0f06df3b4',
      create: null,
    },
  },
  grants: [
    'DELETE on table freehold.applied to freehold_mover',
    'DELETE on table freehold.change to freehold_mover',
    'DELETE on table freehold.resident to freehold_control',
    'DELETE on table freehold.resident to freehold_mover',
    'EXECUTE on function freehold.announce_resident() to public',
    'EXECUTE on function freehold.check_tenant_id_is_canonical() to public',
    'EXECUTE on function freehold.current_tenant() to public',
    'EXECUTE on function freehold.enter_reader(text) to freehold_app',
    'EXECUTE on function freehold.enter_writer(text,text) to freehold_app',
    'EXECUTE on function freehold.is_canonical(text,text) to public',
    'EXECUTE on function freehold.is_schema_of_another(name) to freehold_app',
    'EXECUTE on function freehold.late_reader(text,freehold.residency_state,timestamp with time zone) to public',
    'EXECUTE on function freehold.late_writer(text,bytea) to freehold_app',
    'EXECUTE on function freehold.late_writer(text,bytea) to freehold_mover',
    'EXECUTE on function freehold.lock_key(text) to public',
    'EXECUTE on function freehold.open_schema_of(regclass) to public',
    'EXECUTE on function freehold.session_holds_lock(text) to public',
    'EXECUTE on function freehold.set_is_open() to public',
    'EXECUTE on function freehold.stage_rows(regclass,text[]) to freehold_app',
    'EXECUTE on function freehold.stage_rows(regclass,text[]) to freehold_mover',
    'EXECUTE on function freehold.tenant_column_type(regclass,name) to public',
    'EXECUTE on function freehold.tenant_to_write() to public',
    'INSERT on table freehold.applied to freehold_mover',
    'INSERT on table freehold.resident to freehold_control',
    'INSERT on table freehold.resident to freehold_mover',
    'SELECT on table freehold.applied to freehold_mover',
    'SELECT on table freehold.change to freehold_mover',
    'SELECT on table freehold.entered to freehold_app',
    'SELECT on table freehold.entered to freehold_mover',
    'SELECT on table freehold.entered_to_write to freehold_app',
    'SELECT on table freehold.entered_to_write to freehold_mover',
    'SELECT on table freehold.identity to freehold_control',
    'SELECT on table freehold.identity to freehold_mover',
    'SELECT on table freehold.managed_table to freehold_app',
    'SELECT on table freehold.managed_table to freehold_mover',
    'SELECT on table freehold.resident to freehold_control',
    'SELECT on table freehold.resident to freehold_mover',
    'SELECT on table freehold.tenant_column_types to freehold_control',
    'SELECT on table freehold.tenant_column_types to freehold_mover',
    'SELECT on table freehold.tenant_schema to freehold_control',
    'SELECT on table freehold.tenant_schema to freehold_mover',
    'UPDATE on table freehold.applied to freehold_mover',
    'UPDATE on table freehold.resident to freehold_control',
    'UPDATE on table freehold.resident to freehold_mover',
    'USAGE on schema freehold to freehold_app',
    'USAGE on schema freehold to freehold_control',
    'USAGE on schema freehold to freehold_mover',
  ],
}
