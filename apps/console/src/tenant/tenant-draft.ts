import {
  type CreateTenant,
  createTenantSchema,
  errorRegistry,
  type Problem,
  type Topology,
} from '@freehold/contract'

const tenantFields = ['slug', 'name', 'tier', 'region', 'residency'] as const
export type TenantField = (typeof tenantFields)[number]

/** What is typed; an empty residency means that the tenant is not pinned. */
export type TenantDraft = Readonly<Record<TenantField, string>>
export type TenantFieldErrors = Readonly<Partial<Record<TenantField, string>>>

/** The draft that a form starts with: the first tier and region there are. */
export function emptyDraft(topology: Topology): TenantDraft {
  return {
    slug: '',
    name: '',
    tier: topology.tiers[0]?.id ?? '',
    region: topology.regions[0]?.id ?? '',
    residency: '',
  }
}

/** The request that a draft amounts to, or what is wrong with its fields. */
export function readDraft(
  draft: TenantDraft,
  topology: Topology,
): { readonly request: CreateTenant } | { readonly errors: TenantFieldErrors } {
  const parsed = createTenantSchema.safeParse({ ...draft, residency: draft.residency || null })
  if (!parsed.success) {
    return {
      errors: issueErrors(
        parsed.error.issues.map(({ path, message }) => ({ path: String(path[0]), message })),
      ),
    }
  }
  const { region, residency } = parsed.data
  const jurisdiction = topology.regions.find(({ id }) => id === region)?.jurisdiction
  if (residency !== null && jurisdiction !== undefined && residency !== jurisdiction) {
    const { title } = errorRegistry.residency_violation
    return {
      errors: { residency: `residency_violation: ${title}. Region ${region} lies in ${jurisdiction}.` },
    }
  }
  return { request: parsed.data }
}

const fieldOfCode: Readonly<Partial<Record<Problem['code'], TenantField>>> = {
  tenant_slug_taken: 'slug',
  tier_not_found: 'tier',
  region_not_found: 'region',
  pool_not_found: 'region',
  residency_violation: 'residency',
}

/** The server's problem at the fields that it is about; empty when it is about none of them. */
export function problemErrors(problem: Problem): TenantFieldErrors {
  const field = fieldOfCode[problem.code]
  if (field !== undefined) return { [field]: `${problem.code}: ${problem.detail} ${problem.next}` }
  return issueErrors(problem.issues ?? [])
}

function issueErrors(issues: readonly { path: string; message: string }[]): TenantFieldErrors {
  const errors: Partial<Record<TenantField, string>> = {}
  for (const issue of issues) {
    const field = tenantFields.find((name) => issue.path.split('/').includes(name))
    if (field !== undefined) errors[field] = issue.message
  }
  return errors
}
