import { quoteIdentifier } from '@freehold/postgres'
import type { Check } from '../check.ts'

export const sequenceRights: Check = {
  id: 'sequence-rights',
  severity: 'advisory',
  why: 'setval() sets a sequence back under all tenants: their next inserts collide.',
  fix: 'Grant USAGE on sequences, not ALL.',
  find: ({ surroundings, app }) =>
    app.isSuperuser
      ? []
      : surroundings.settableSequences.map(({ label, sql }) => ({
          object: label,
          found: `${app.name} may set it.`,
          sql: [`revoke update on sequence ${sql} from public, ${app.sql};`],
        })),
}

export const publicationOfAll: Check = {
  id: 'publication-of-all-tables',
  severity: 'advisory',
  why: 'A subscriber gets every row of every tenant, and of every table that is made later.',
  fix: 'Publish the tables that are meant, with a row filter where it is for one tenant.',
  find: ({ surroundings }) =>
    surroundings.publicationsOfAllTables.map((name) => ({
      object: `publication ${name}`,
      found: 'It publishes all tables.',
      sql: [`drop publication ${quoteIdentifier(name)};`],
    })),
}

const isLargeObject = (name: string) => /^(lo_|loread\(|lowrite\()/.test(name)

export const largeObjects: Check = {
  id: 'large-objects',
  severity: 'advisory',
  why: 'A large object belongs to a role, and all tenants are one role: each reads and removes what another has stored. PostgreSQL lets everybody use them unless told otherwise.',
  fix: 'Revoke the functions of large objects from PUBLIC; keep files in a tenant table or outside.',
  find: ({ surroundings, app, hasFreehold }) => {
    const functions = surroundings.sharedFunctions.flatMap((one) => one.functions.filter(isLargeObject))
    if (app.isSuperuser || functions.length === 0) return []
    return [
      {
        object: 'large objects',
        severity: hasFreehold ? 'blocking' : 'advisory',
        found: `${app.name} may use them (${functions.length} functions).`,
        sql: [`revoke execute on function ${functions.join(', ')} from public, ${app.sql};`],
      },
    ]
  },
}

export const sharedFunctions: Check = {
  id: 'shared-functions',
  severity: 'advisory',
  why: 'All tenants are one role to the server, which lets everybody execute them: through them one tenant reaches what is of all.',
  fix: 'Revoke them from PUBLIC, and grant them to the roles that need them.',
  find: ({ surroundings, app, hasFreehold }) =>
    app.isSuperuser
      ? []
      : surroundings.sharedFunctions
          .map(({ why, functions }) => ({ why, functions: functions.filter((name) => !isLargeObject(name)) }))
          .filter(({ functions }) => functions.length > 0)
          .map(({ why, functions }) => ({
            object: functions.map((name) => name.replace(/\(.*/, '')).join(', '),
            severity: hasFreehold ? 'blocking' : 'advisory',
            found: `${app.name} may execute them: ${why}.`,
            sql: [`revoke execute on function ${functions.join(', ')} from public, ${app.sql};`],
          })),
}

export const settingsWritable: Check = {
  id: 'settings-view-writable',
  severity: 'advisory',
  why: 'UPDATE pg_settings sets the session without calling a function and without SET, so what looks for those misses it, and the next tenant on the connection inherits it. PostgreSQL lets everybody do so.',
  fix: 'Revoke UPDATE on pg_catalog.pg_settings from PUBLIC.',
  find: ({ surroundings, app, hasFreehold }) =>
    surroundings.settingsWritable && !app.isSuperuser
      ? [
          {
            object: 'pg_catalog.pg_settings',
            severity: hasFreehold ? 'blocking' : 'advisory',
            found: `${app.name} may update it.`,
            sql: [`revoke update on pg_catalog.pg_settings from public, ${app.sql};`],
          },
        ]
      : [],
}

export const foreignTables: Check = {
  id: 'foreign-table',
  severity: 'blocking',
  why: 'Row security does not apply to a foreign table: its rows are read as whoever the user mapping says.',
  fix: 'Take the rights on it from the application.',
  find: ({ surroundings, app }) =>
    app.isSuperuser
      ? []
      : surroundings.foreignTables.map(({ label, sql }) => ({
          object: label,
          found: `${app.name} has rights on a foreign table.`,
          sql: [`revoke all on ${sql} from public, ${app.sql};`],
        })),
}

export const foreignServers: Check = {
  id: 'foreign-server',
  severity: 'advisory',
  why: 'SQL of a tenant can reach another database through it, this one as another role included.',
  fix: 'Take the right to use it from the application.',
  find: ({ surroundings, app }) => {
    if (app.isSuperuser) return []
    const servers = surroundings.foreignServers.map((name) => ({
      object: `server ${name}`,
      found: `${app.name} may use the foreign server.`,
      sql: [`revoke usage on foreign server ${quoteIdentifier(name)} from public, ${app.sql};`],
    }))
    const { dblinkFunctions } = surroundings
    if (dblinkFunctions.length === 0) return servers
    const dblink = {
      object: 'extension dblink',
      found: `${app.name} may execute its functions.`,
      sql: [`revoke execute on function ${dblinkFunctions.join(', ')} from public, ${app.sql};`],
    }
    return [...servers, dblink]
  },
}

export const eventTriggers: Check = {
  id: 'event-trigger',
  severity: 'advisory',
  why: "Its function runs in everybody's DDL, a superuser's too: whoever can change the function has that role's rights.",
  fix: 'Make sure who may change its function, or disable it.',
  find: ({ surroundings }) =>
    surroundings.eventTriggers.map(({ name, calls }) => ({
      object: `event trigger ${name}`,
      found: `It calls ${calls}.`,
      sql: [`alter event trigger ${quoteIdentifier(name)} disable;`],
    })),
}

export const defaultRights: Check = {
  id: 'default-rights',
  severity: 'advisory',
  why: 'A new table is open to the application before anybody has put row security on it.',
  fix: 'Grant rights table by table, after row security.',
  find: ({ surroundings }) =>
    surroundings.defaultRights.map(({ grantor, schema, grantee }) => {
      const where = schema === null ? '' : ` in schema ${quoteIdentifier(schema)}`
      const whom = grantee === 'public' ? 'public' : quoteIdentifier(grantee)
      return {
        object: schema === null ? `tables of ${grantor}` : `tables of ${grantor} in ${schema}`,
        found: `Rights on tables yet to be made are granted to ${grantee}.`,
        sql: [
          `alter default privileges for role ${quoteIdentifier(grantor)}${where} revoke all on tables from ${whom};`,
        ],
      }
    }),
}
