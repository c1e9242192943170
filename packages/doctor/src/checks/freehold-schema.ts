import { quoteIdentifier } from '@freehold/postgres'
import type { Check } from '../check.ts'
import { FREEHOLD_MANIFEST } from '../facts/freehold-manifest.ts'
import type { FreeholdObject } from '../facts/freehold-objects.ts'
import { hasRightOwner } from '../facts/freehold-schema.ts'

export const freeholdSchemaChanged: Check = {
  id: 'freehold-schema',
  severity: 'blocking',
  why: 'Who a tenant is decide the views freehold.entered and freehold.entered_to_write and the functions around them: changed, they let anybody in, and what else stands there runs or reads beside them.',
  fix: "Bring the schema to this version's migrations (`freehold adopt`); where they are applied already, find out who has changed it.",
  find: ({ freehold }) => {
    if (!freehold) return []
    const there = new Set(freehold.objects.map(({ key }) => key))
    const missing = Object.keys(FREEHOLD_MANIFEST.objects).filter((key) => !there.has(key))
    return [
      ...freehold.objects.flatMap((one) => complaints(one)),
      ...missing.map((key) => ({ object: key, found: 'It is missing.', sql: [] })),
    ]
  },
}

function complaints(one: FreeholdObject): { object: string; found: string; sql: string[]; fix?: string }[] {
  const made = FREEHOLD_MANIFEST.objects[one.key]
  if (!made) {
    return [
      {
        object: one.label,
        found: `Freehold does not make it${one.owner === '' ? '' : `; it is owned by ${one.owner}`}.`,
        fix: 'Drop it, or put it into a schema of your own, where it is judged like everything else.',
        sql: one.drop === null ? [] : [one.drop],
      },
    ]
  }
  const isChanged = made.digest !== one.digest
  const found = [
    ...(isChanged ? ['It is not what the migrations make.'] : []),
    ...(hasRightOwner(one) ? [] : [`It is owned by ${one.owner}.`]),
  ]
  if (found.length === 0) return []
  return [
    {
      object: one.label,
      found: found.join(' '),
      sql: [
        ...(isChanged && made.create !== null ? [made.create] : []),
        ...(hasRightOwner(one) ? [] : [`alter ${one.label} owner to ${quoteIdentifier('freehold_owner')};`]),
      ],
    },
  ]
}

export const freeholdRights: Check = {
  id: 'freehold-rights',
  severity: 'blocking',
  why: 'Whoever may read or write freehold.resident gives itself the entry key of any tenant, and the rest of the schema is no less the guard.',
  fix: 'Revoke it: Freehold grants its own roles what they need, and nobody else anything.',
  find: ({ freehold, views, app }) => [
    ...(freehold?.grants ?? [])
      .filter(({ key }) => !FREEHOLD_MANIFEST.grants.includes(key))
      .map(({ key, label, revoke }) => ({
        object: label,
        found: `There is a right too many: ${key}.`,
        sql: [revoke],
      })),
    ...views
      // Those of Freehold itself are compared with its migrations.
      .filter((view) => !(`view ${view.sql}` in FREEHOLD_MANIFEST.objects))
      .filter((view) => freehold && view.readableByApp && !view.isInvoker && view.readsOfFreehold.length > 0)
      .map((view) => ({
        object: `view ${view.label}`,
        found: `${app.name} may use it, and through it ${view.readsOfFreehold.join(', ')} of the schema freehold as ${view.owner}.`,
        sql: [`revoke all on ${view.sql} from public, ${app.sql};`],
      })),
  ],
}
