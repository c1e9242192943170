import { IconBuildings, IconSearchOff } from '@tabler/icons-react'
import { EmptyState } from '../components/empty-state.tsx'

export function NoTenants({ search }: { search: string }) {
  if (search !== '') {
    return (
      <EmptyState icon={<IconSearchOff size={28} stroke={1.4} />} title="No tenant matches">
        Neither a slug nor a name contains “{search}”.
      </EmptyState>
    )
  }
  return (
    <EmptyState icon={<IconBuildings size={28} stroke={1.4} />} title="No tenants yet">
      A tenant is a customer organisation. It starts in the shared pool of a region and can be moved to its
      own database later, while it keeps working.
    </EmptyState>
  )
}
