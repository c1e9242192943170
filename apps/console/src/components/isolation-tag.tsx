import type { Isolation } from '@freehold/contract'
import { IconDatabase, IconFolder, IconStack2 } from '@tabler/icons-react'
import { Tag } from './tag.tsx'

const icons = { pool: IconStack2, schema: IconFolder, silo: IconDatabase } as const

/** How a tenant's rows are kept apart. */
export function IsolationTag({ isolation }: { isolation: Isolation }) {
  const Icon = icons[isolation]
  return <Tag icon={<Icon size={13} aria-hidden />}>{isolation}</Tag>
}
