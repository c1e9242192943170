import type { ClientBase } from 'pg'
import type { Policy, Rule } from './model.ts'

/** Reads every policy, and whether it applies to the application's role. */
export async function readPolicies(client: ClientBase, appRole: string): Promise<Policy[]> {
  const { rows } = await client.query<Policy>(
    `select policy.polrelid as "table", policy.polname as name,
       case policy.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
         when 'd' then 'delete' else 'all' end as command,
       policy.polpermissive as "isPermissive",
       policy.polroles = '{0}' as "forPublic",
       policy.polroles = '{0}' or exists (
         select from unnest(policy.polroles) role (oid) where pg_has_role($1, role.oid, 'MEMBER')) as "appliesToApp",
       pg_get_expr(policy.polqual, policy.polrelid) as using,
       pg_get_expr(policy.polwithcheck, policy.polrelid) as check
     from pg_policy policy
     order by policy.polrelid, policy.polname`,
    [appRole],
  )
  return rows
}

/** Reads the rules that are not what makes a view. */
export async function readRules(client: ClientBase): Promise<Rule[]> {
  const { rows } = await client.query<Rule>(
    `select ev_class as "table", rulename as name from pg_rewrite where rulename <> '_RETURN' order by 1, 2`,
  )
  return rows
}

/** PostgreSQL 14: functions whose body is SQL and not text. */
const FIRST_WITH_SQL_BODY = 140_000

const SETTING = /current_setting\(\s*'([^']+)'/g

/** The settings by which policies, and the functions that they call, tell the tenants apart. */
export async function readTenantSettings(client: ClientBase, versionNumber: number): Promise<string[]> {
  const sqlBody = versionNumber >= FIRST_WITH_SQL_BODY ? 'pg_get_function_sqlbody(function.oid)' : `''`
  const { rows } = await client.query<{ text: string }>(
    `select coalesce(pg_get_expr(polqual, polrelid), '') || ' ' || coalesce(pg_get_expr(polwithcheck, polrelid), '')
       as text
     from pg_policy
     union all
     select coalesce(function.prosrc, '') || ' ' || coalesce(${sqlBody}, '')
     from pg_depend dependency
     join pg_proc function on function.oid = dependency.refobjid
     where dependency.classid = 'pg_policy'::regclass and dependency.refclassid = 'pg_proc'::regclass`,
  )
  const names = rows.flatMap(({ text }) => [...text.matchAll(SETTING)].map((match) => match[1] ?? ''))
  return [...new Set(names)].filter((name) => name.includes('.') && !name.startsWith('freehold.')).sort()
}
