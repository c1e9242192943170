import { Pulse } from './pulse.tsx'
import { Tag } from './tag.tsx'

/** Says of a cluster that it is being emptied, if it is. */
export function DrainingTag({ since }: { since: string | null }) {
  if (since === null) return null
  return (
    <Tag tone="caution" icon={<Pulse tone="caution" beating />}>
      Draining
    </Tag>
  )
}
