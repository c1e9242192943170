import type { Actor } from './action.ts'

/** Deletes an entity that no order refers to. */
export async function deleteSpare(
  { session, holdings }: Actor,
  entity: 'customers' | 'products',
  kind: string,
): Promise<boolean> {
  const id = holdings.pick(entity, 'spare')
  if (id === undefined) return false
  const acknowledged = await session.write({
    kind,
    requestClass: 'write',
    method: 'DELETE',
    path: `/${entity}/${id}`,
    effects: [{ entity, id, after: null }],
  })
  if (acknowledged) holdings.remove(entity, id)
  return true
}
