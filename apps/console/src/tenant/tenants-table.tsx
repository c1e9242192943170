import type { Tenant } from '@freehold/contract'
import { Table } from '@mantine/core'
import { IsolationTag } from '../components/isolation-tag.tsx'
import { Pulse } from '../components/pulse.tsx'
import { RelativeTime } from '../components/relative-time.tsx'
import { ResidencyTag } from '../components/residency-tag.tsx'
import { InnerLink, RowLink } from '../components/row-link.tsx'
import { StatusTag } from '../components/status-tag.tsx'
import { Tag } from '../components/tag.tsx'
import { placeName } from '../format/place-name.ts'
import classes from './tenants-table.module.css'

export function TenantsTable({ tenants }: { tenants: readonly Tenant[] }) {
  return (
    <Table aria-label="Tenants" highlightOnHover>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Tenant</Table.Th>
          <Table.Th visibleFrom="md">Tier</Table.Th>
          <Table.Th visibleFrom="sm">Status</Table.Th>
          <Table.Th visibleFrom="md">Residency</Table.Th>
          <Table.Th>Placement</Table.Th>
          <Table.Th visibleFrom="md">Created</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {tenants.map((tenant) => (
          <TenantRow key={tenant.id} tenant={tenant} />
        ))}
      </Table.Tbody>
    </Table>
  )
}

function TenantRow({ tenant }: { tenant: Tenant }) {
  const { slug, name, tier, status, residency, placement, activeMoveId, createdAt } = tenant
  return (
    <Table.Tr>
      <Table.Td>
        <div className={classes.name}>
          <RowLink href={`/tenants/${slug}`}>{name}</RowLink>
          {activeMoveId !== null && (
            <InnerLink href={`/moves/${activeMoveId}`}>
              <Tag tone="running" icon={<Pulse tone="running" beating />}>
                Moving
              </Tag>
            </InnerLink>
          )}
        </div>
        <div className={`mono dim ${classes.slug}`}>{slug}</div>
      </Table.Td>
      <Table.Td visibleFrom="md">{tier}</Table.Td>
      <Table.Td visibleFrom="sm">
        <StatusTag status={status} />
      </Table.Td>
      <Table.Td visibleFrom="md">
        <ResidencyTag residency={residency} />
      </Table.Td>
      <Table.Td>
        <div className={classes.placement}>
          <IsolationTag isolation={placement.isolation} />
          <span>{placement.region}</span>
          <span className={`mono dim ${classes.database}`}>{placeName(placement)}</span>
        </div>
      </Table.Td>
      <Table.Td visibleFrom="md" className={`dim ${classes.time}`}>
        <RelativeTime at={createdAt} />
      </Table.Td>
    </Table.Tr>
  )
}
