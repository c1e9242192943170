import { type Move, relocationKind } from '@freehold/contract'
import { Tag } from './tag.tsx'

/** Whether a move leads to more isolation, or to less: `promotion: pool to schema`. */
export function RelocationTag({
  from: { isolation: from },
  to: { isolation: to },
}: Record<'from' | 'to', Pick<Move['to'], 'isolation'>>) {
  return (
    <Tag>
      {relocationKind(from, to)}: {from === to ? from : `${from} to ${to}`}
    </Tag>
  )
}
