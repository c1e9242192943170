import type { Jurisdiction } from '@freehold/contract'
import { IconPinFilled } from '@tabler/icons-react'
import { Tag } from './tag.tsx'

/** The jurisdiction that a tenant's data may not leave, if it is pinned to one. */
export function ResidencyTag({ residency }: { residency: Jurisdiction | null }) {
  if (residency === null) return <span className="dim">Not pinned</span>
  return <Tag icon={<IconPinFilled size={12} aria-hidden />}>Pinned to {residency}</Tag>
}
