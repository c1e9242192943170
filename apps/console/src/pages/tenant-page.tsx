import type { TenantDetail } from '@freehold/contract'
import { useTenant } from '../api/use-tenants.ts'
import { Columns } from '../components/columns.tsx'
import { CopyText } from '../components/copy-text.tsx'
import { MoveList } from '../components/move-list.tsx'
import { Page } from '../components/page.tsx'
import { Panel } from '../components/panel.tsx'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { RelativeTime } from '../components/relative-time.tsx'
import { RowsSkeleton } from '../components/rows-skeleton.tsx'
import { StatusTag } from '../components/status-tag.tsx'
import { Surface } from '../components/surface.tsx'
import { Tag } from '../components/tag.tsx'
import { useMayChange } from '../session/operator-context.ts'
import { ActiveMove } from '../tenant/active-move.tsx'
import { PlacementFacts } from '../tenant/placement-facts.tsx'
import { PlacementHistory } from '../tenant/placement-history.tsx'
import { PromoteButton } from '../tenant/promote-button.tsx'

const parent = { label: 'Tenants', href: '/tenants' }

export function TenantPage({ idOrSlug }: { idOrSlug: string }) {
  const tenant = useTenant(idOrSlug)
  if (tenant.data !== undefined) return <KnownTenant tenant={tenant.data} />
  return (
    <Page title={idOrSlug} parent={parent}>
      {tenant.isError ? (
        <ProblemAlert error={tenant.error} />
      ) : (
        <Surface>
          <RowsSkeleton />
        </Surface>
      )}
    </Page>
  )
}

function KnownTenant({ tenant }: { tenant: TenantDetail }) {
  const mayChange = useMayChange()
  return (
    <Page
      title={tenant.name}
      parent={parent}
      tags={
        <>
          <StatusTag status={tenant.status} />
          <Tag>{tenant.tier} tier</Tag>
        </>
      }
      subtitle={<Identity tenant={tenant} />}
      actions={mayChange && <PromoteButton tenant={tenant} />}
    >
      {tenant.activeMoveId !== null && <ActiveMove id={tenant.activeMoveId} tenant={tenant} />}
      <Panel title="Placement">
        <PlacementFacts tenant={tenant} />
      </Panel>
      <Columns>
        <MoveList
          title="Moves"
          name={`Moves of ${tenant.slug}`}
          filter={{ tenant: tenant.id }}
          ofOneTenant
          empty={{ title: 'Never moved', text: 'The tenant lives where it was created.' }}
        />
        <Panel title="Placement history">
          <PlacementHistory placements={tenant.placements} />
        </Panel>
      </Columns>
    </Page>
  )
}

function Identity({ tenant }: { tenant: TenantDetail }) {
  return (
    <>
      <CopyText name="slug" text={tenant.slug} />
      <CopyText name="id" text={tenant.id} />
      <span>
        Created <RelativeTime at={tenant.createdAt} />
      </span>
    </>
  )
}
