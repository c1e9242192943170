import { IconMapQuestion } from '@tabler/icons-react'
import { Link } from 'wouter'
import { EmptyState } from '../components/empty-state.tsx'
import { Page } from '../components/page.tsx'

export function NotFoundPage() {
  return (
    <Page title="Not found">
      <EmptyState icon={<IconMapQuestion size={28} stroke={1.4} />} title="There is no such page">
        Go to the <Link href="/tenants">tenants</Link> or the <Link href="/moves">moves</Link>.
      </EmptyState>
    </Page>
  )
}
