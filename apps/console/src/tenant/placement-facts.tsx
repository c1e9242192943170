import type { TenantDetail } from '@freehold/contract'
import { Fact, Facts } from '../components/facts.tsx'
import { IsolationTag } from '../components/isolation-tag.tsx'
import { RelativeTime } from '../components/relative-time.tsx'
import { ResidencyTag } from '../components/residency-tag.tsx'
import { placeName } from '../format/place-name.ts'

/** Where the tenant's data is now, and where it may be. */
export function PlacementFacts({ tenant }: { tenant: TenantDetail }) {
  const { placement, residency, placements } = tenant
  const since = placements.find((record) => record.current)?.since
  return (
    <Facts>
      <Fact name="Isolation">
        <IsolationTag isolation={placement.isolation} />
      </Fact>
      <Fact name="Residency">
        <ResidencyTag residency={residency} />
      </Fact>
      <Fact name="Region">
        {placement.region} <span className="dim">· jurisdiction {placement.jurisdiction}</span>
      </Fact>
      <Fact name="Cluster">{placement.cluster}</Fact>
      <Fact name="Database">
        <span className="mono">{placeName(placement)}</span>
      </Fact>
      <Fact name="Schema">
        <span className="mono">{placement.schema}</span>
      </Fact>
      <Fact name="Epoch">{placement.epoch}</Fact>
      <Fact name="Since">{since === undefined ? '–' : <RelativeTime at={since} />}</Fact>
    </Facts>
  )
}
