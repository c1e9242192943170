import type { Check } from '../check.ts'
import { foreignKeyCrosses } from './foreign-key-crosses.ts'
import { freeholdLeftovers } from './freehold-leftovers.ts'
import { freeholdRights, freeholdSchemaChanged } from './freehold-schema.ts'
import { definerFunction, definerSearchPath, leakproofFunction } from './function-checks.ts'
import { matviewReadable } from './matview-readable.ts'
import { policyAlwaysTrue } from './policy-always-true.ts'
import { policyCastsSetting } from './policy-casts-setting.ts'
import { policyDefeatsIndex } from './policy-defeats-index.ts'
import { policyForPublic } from './policy-for-public.ts'
import { policyMissing } from './policy-missing.ts'
import { policyNotFreehold } from './policy-not-freehold.ts'
import { policyTrustsSetting } from './policy-trusts-setting.ts'
import { policyWidens } from './policy-widens.ts'
import { publicTableRights } from './public-table-rights.ts'
import { rlsDisabled } from './rls-disabled.ts'
import { rlsNotForced } from './rls-not-forced.ts'
import {
  appRoleBypassRls,
  appRoleCreates,
  appRoleCreatesObjects,
  appRoleMember,
  appRoleOwns,
  appRoleReplication,
  appRoleSettings,
  appRoleSuperuser,
} from './role-checks.ts'
import { serverVersion } from './server-version.ts'
import { shadowingObject } from './shadowing-object.ts'
import { sharedTableWritable } from './shared-table-writable.ts'
import {
  defaultRights,
  eventTriggers,
  foreignServers,
  foreignTables,
  largeObjects,
  publicationOfAll,
  sequenceRights,
  settingsWritable,
  sharedFunctions,
} from './surrounding-checks.ts'
import { tableRights } from './table-rights.ts'
import { tableRule } from './table-rule.ts'
import { tenantColumnNullable } from './tenant-column-nullable.ts'
import { tenantNotLeading } from './tenant-not-leading.ts'
import { undeclaredTable } from './undeclared-table.ts'
import { uniqueWithoutTenant } from './unique-without-tenant.ts'
import { viewNotInvoker } from './view-not-invoker.ts'

/**
 * Every check of the catalogs. Their statements are run in this order, so what one needs comes before it: ownership
 * before rights, NOT NULL before policies, foreign keys before the keys that they refer to, and what is
 * dropped comes last.
 */
export const checks: readonly Check[] = [
  serverVersion,
  appRoleSuperuser,
  appRoleBypassRls,
  appRoleReplication,
  appRoleCreates,
  appRoleOwns,
  appRoleMember,
  appRoleCreatesObjects,
  appRoleSettings,
  freeholdRights,
  undeclaredTable,
  tenantColumnNullable,
  rlsDisabled,
  rlsNotForced,
  policyAlwaysTrue,
  policyWidens,
  policyForPublic,
  policyDefeatsIndex,
  policyCastsSetting,
  policyMissing,
  policyNotFreehold,
  policyTrustsSetting,
  sharedTableWritable,
  tableRights,
  tableRule,
  publicTableRights,
  defaultRights,
  viewNotInvoker,
  matviewReadable,
  definerSearchPath,
  definerFunction,
  leakproofFunction,
  foreignKeyCrosses,
  uniqueWithoutTenant,
  tenantNotLeading,
  sequenceRights,
  publicationOfAll,
  largeObjects,
  sharedFunctions,
  settingsWritable,
  foreignTables,
  foreignServers,
  eventTriggers,
  freeholdLeftovers,
  shadowingObject,
  freeholdSchemaChanged,
]
