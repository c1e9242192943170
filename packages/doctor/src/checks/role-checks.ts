import { quoteIdentifier } from '@freehold/postgres'
import type { Check } from '../check.ts'

/** Superuser, BYPASSRLS, and the attributes by which a role gets either. */
export const appRoleSuperuser: Check = {
  id: 'app-role-superuser',
  severity: 'blocking',
  why: 'No policy, forced or not, and no right that was not granted stops a superuser.',
  fix: 'Let the application connect as a role of its own that is no superuser.',
  find: ({ app }) =>
    app.isSuperuser
      ? [
          {
            object: app.name,
            found: 'The application connects as superuser.',
            sql: [`alter role ${app.sql} nosuperuser;`],
          },
        ]
      : [],
}

export const appRoleBypassRls: Check = {
  id: 'app-role-bypassrls',
  severity: 'blocking',
  why: 'No policy, forced or not, applies to a role with BYPASSRLS.',
  fix: 'Take BYPASSRLS from the role, or connect as another.',
  find: ({ app }) =>
    app.bypassesRls
      ? [{ object: app.name, found: 'The role has BYPASSRLS.', sql: [`alter role ${app.sql} nobypassrls;`] }]
      : [],
}

export const appRoleReplication: Check = {
  id: 'app-role-replication',
  severity: 'blocking',
  why: 'A replication connection reads every row of the server, whatever the policies say.',
  fix: 'Take REPLICATION from the role.',
  find: ({ app }) =>
    app.replicates && !app.isSuperuser
      ? [
          {
            object: app.name,
            found: 'The role has REPLICATION.',
            sql: [`alter role ${app.sql} noreplication;`],
          },
        ]
      : [],
}

export const appRoleCreates: Check = {
  id: 'app-role-creates',
  severity: 'advisory',
  why: 'CREATEROLE lets it make and join roles that have rights which it was not given; a database of its own is a place to carry rows to.',
  fix: 'Take CREATEROLE and CREATEDB from the role.',
  find: ({ app }) => {
    const has = [app.createsRoles && 'CREATEROLE', app.createsDatabases && 'CREATEDB'].filter(
      (one) => one !== false,
    )
    if (app.isSuperuser || has.length === 0) return []
    return [
      {
        object: app.name,
        found: `The role has ${has.join(' and ')}.`,
        sql: [`alter role ${app.sql} nocreaterole nocreatedb;`],
      },
    ]
  },
}

export const appRoleOwns: Check = {
  id: 'app-role-owns',
  severity: 'blocking',
  why: 'An owner passes by row security that is not forced, and may switch it off, drop its policies and grant rights.',
  fix: 'Give the object to a role as which no application connects; migrations run as that role.',
  find: ({ app }) =>
    app.owns
      .filter(() => !app.isSuperuser)
      .map(({ what, sql }) => ({
        object: what,
        found: `It is owned by ${app.name}, the role of the application.`,
        sql: [
          `alter ${sql} owner to current_user;`,
          ...(what.startsWith('table ') || what.startsWith('view ')
            ? [`grant select, insert, update, delete on ${sql.replace(/^(table|view) /, '')} to ${app.sql};`]
            : []),
          ...(what.startsWith('schema ') ? [`grant usage on ${sql} to ${app.sql};`] : []),
        ],
      })),
}

export const appRoleMember: Check = {
  id: 'app-role-member',
  severity: 'blocking',
  why: 'SET ROLE makes it that role, in any SQL that it runs, and some rights come with the membership alone.',
  fix: 'Revoke the membership.',
  find: ({ app, hasFreehold }) =>
    app.isSuperuser
      ? []
      : app.memberships
          // The product's own groups may be harmless; where Freehold is, the role is for the router alone.
          .filter(({ reaches }) => hasFreehold || reaches.length > 0)
          .map(({ role, reaches }) => ({
            object: app.name,
            found: `It is a member of ${role}${reaches.length === 0 ? '' : `, and so reaches ${reaches.join(', ')}`}.`,
            sql: [`revoke ${quoteIdentifier(role)} from ${app.sql};`],
          })),
}

export const appRoleCreatesObjects: Check = {
  id: 'app-role-schema-create',
  severity: 'blocking',
  why: "It can place functions, operators and tables where others' SQL finds them first, leaky operators among them.",
  fix: 'Revoke CREATE on the schema from PUBLIC and from the role.',
  find: ({ app }) =>
    app.isSuperuser
      ? []
      : app.createsIn.map((schema) => ({
          object: `schema ${schema}`,
          found: `${app.name} may create objects in it.`,
          sql: [`revoke create on schema ${quoteIdentifier(schema)} from public, ${app.sql};`],
        })),
}

const TRAPS: readonly string[] = [
  'search_path',
  'row_security',
  'session_replication_role',
  'role',
  'session_preload_libraries',
]

export const appRoleSettings: Check = {
  id: 'app-role-settings',
  severity: 'advisory',
  why: 'It holds for every session from its first moment: a search_path decides which tables a name means, row_security=off turns filtered reads into errors that invite a way around.',
  fix: 'Reset it, and qualify names or set the path in the application.',
  find: (facts) => {
    const { app, database } = facts
    return app.settings
      .filter(
        ({ name, isForRole }) =>
          TRAPS.includes(name) ||
          facts.tenantSettings.includes(name) ||
          // Freehold sets none, and the role may set its own: so may any SQL that a tenant gets to run.
          (facts.hasFreehold && isForRole),
      )
      .map(({ name, value, isForDatabase, isForRole }) => {
        const inDatabase = isForDatabase ? ` in database ${quoteIdentifier(database)}` : ''
        const whose = isForRole ? `role ${app.sql}${inDatabase}` : `database ${quoteIdentifier(database)}`
        return {
          object: isForRole ? app.name : `database ${database}`,
          severity: facts.hasFreehold && isForRole ? 'blocking' : 'advisory',
          found: `${name} is set to ${value} for every session.`,
          sql: [
            `alter ${whose} reset ${name
              .split('.')
              .map((part) => quoteIdentifier(part))
              .join('.')};`,
          ],
        }
      })
  },
}
