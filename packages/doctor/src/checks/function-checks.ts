import { quoteIdentifier } from '@freehold/postgres'
import type { Check } from '../check.ts'
import type { DatabaseFunction } from '../facts/model.ts'

const kindOf = (one: DatabaseFunction) => (one.isProcedure ? 'procedure' : 'function')

export const definerFunction: Check = {
  id: 'definer-function',
  severity: 'advisory',
  why: "It runs with its owner's rights: what it reads and writes, its caller does. If its owner passes by row security, so does every tenant.",
  fix: 'Make it SECURITY INVOKER, or let only roles execute it that need it.',
  find: ({ functions, app }) =>
    functions
      .filter((one) => one.isDefiner && one.executableByApp && !one.isTrigger && !app.isSuperuser)
      .map((one) => ({
        object: one.label,
        severity: one.ownerBypassesRls ? 'blocking' : 'advisory',
        found: `${app.name} may execute it, and it runs as ${one.owner}${one.ownerBypassesRls ? ', who passes by row security' : ''}.`,
        sql: [`revoke execute on ${kindOf(one)} ${one.sql} from public, ${app.sql};`],
      })),
}

export const definerSearchPath: Check = {
  id: 'definer-search-path',
  severity: 'blocking',
  why: "Names in it are looked up by its caller's search_path: whoever can create a table or function there has it run with the owner's rights.",
  fix: 'Pin the path: SET search_path = pg_catalog, <schema>, pg_temp.',
  find: ({ functions }) =>
    functions
      .filter((one) => one.isDefiner && !one.hasSearchPath)
      .map((one) => ({
        object: one.label,
        found: 'It is SECURITY DEFINER and its search_path is not pinned.',
        sql: [
          `alter ${kindOf(one)} ${one.sql} set search_path = pg_catalog, ${quoteIdentifier(one.schema)}, pg_temp;`,
        ],
      })),
}

export const leakproofFunction: Check = {
  id: 'leakproof-function',
  severity: 'blocking',
  why: 'The planner may call a LEAKPROOF function, also behind an operator, before row security is applied: it then sees rows of all tenants.',
  fix: 'Take LEAKPROOF from it, unless it surely tells nothing about its arguments, not even by an error.',
  find: ({ functions }) =>
    functions
      .filter(({ isLeakproof }) => isLeakproof)
      .map((one) => ({
        object: one.label,
        found: 'It is marked LEAKPROOF.',
        sql: [`alter function ${one.sql} not leakproof;`],
      })),
}
