import type { TenantStatus } from '@freehold/contract'
import { Pulse } from './pulse.tsx'
import { Tag } from './tag.tsx'

export function StatusTag({ status }: { status: TenantStatus }) {
  const tone = status === 'active' ? 'good' : 'caution'
  return (
    <Tag tone={status === 'active' ? 'neutral' : 'caution'} icon={<Pulse tone={tone} />}>
      {status}
    </Tag>
  )
}
