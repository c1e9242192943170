import { Box } from '@mantine/core'
import { IconArrowsExchange } from '@tabler/icons-react'
import type { MoveFilter } from '../api/moves.ts'
import { useMoves } from '../api/use-moves.ts'
import { EmptyState } from './empty-state.tsx'
import { MovesTable } from './moves-table.tsx'
import { Pager } from './pager.tsx'
import { Panel } from './panel.tsx'
import { ProblemAlert } from './problem-alert.tsx'
import { RowsSkeleton } from './rows-skeleton.tsx'
import { usePages } from './use-pages.ts'

interface MoveListProps {
  readonly title: string
  /** Accessible name of the table. */
  readonly name: string
  readonly filter: Omit<MoveFilter, 'cursor'>
  /** The tenant is clear from the page, so the moves are named by their route. */
  readonly ofOneTenant?: boolean
  /** What it means that there is no such move. */
  readonly empty: { readonly title: string; readonly text: string }
}

export function MoveList({ title, name, filter, ofOneTenant = false, empty }: MoveListProps) {
  const pages = usePages(name)
  const { data, isPending, error } = useMoves({ ...filter, cursor: pages.cursor })
  return (
    <Panel title={title} flush>
      {isPending && <RowsSkeleton rows={3} />}
      {error !== null && (
        <Box p="md">
          <ProblemAlert error={error} />
        </Box>
      )}
      {data?.items.length === 0 && (
        <EmptyState icon={<IconArrowsExchange size={28} stroke={1.4} />} title={empty.title}>
          {empty.text}
        </EmptyState>
      )}
      {data !== undefined && data.items.length > 0 && (
        <MovesTable name={name} moves={data.items} ofOneTenant={ofOneTenant} />
      )}
      <Pager pages={pages} nextCursor={data?.nextCursor ?? null} name={name} />
    </Panel>
  )
}
