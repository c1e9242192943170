import type { Move } from '@freehold/contract'
import { Button, Group } from '@mantine/core'
import { useMutation } from '@tanstack/react-query'
import { type MoveOrder, orderMove } from '../api/moves.ts'
import { useKnownMove } from '../api/use-known-move.ts'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { isPausable } from './phases.ts'

/** Pause or resume, and the approval where the switch waits for it. */
export function OrderButtons({ move }: { move: Move }) {
  const order = useMutation({
    mutationFn: (wanted: MoveOrder) => orderMove(move.id, wanted),
    onSuccess: useKnownMove(),
  })
  const paused = move.waiting?.for === 'resume'
  const needsApproval = move.cutover.approve && move.cutover.approvedAt === null
  return (
    <Group gap="xs">
      {order.error !== null && <ProblemAlert error={order.error} />}
      {needsApproval && (
        <Button loading={order.isPending} onClick={() => order.mutate('approve')}>
          Approve the switch
        </Button>
      )}
      {(paused || isPausable(move.phase)) && (
        <Button
          variant="default"
          loading={order.isPending}
          onClick={() => order.mutate(paused ? 'resume' : 'pause')}
        >
          {paused ? 'Resume' : 'Pause'}
        </Button>
      )}
    </Group>
  )
}
