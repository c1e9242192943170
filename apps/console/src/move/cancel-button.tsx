import { errorRegistry, type Move, type MoveDetail } from '@freehold/contract'
import { Button, Group, Modal, Stack, Tooltip } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { orderMove } from '../api/moves.ts'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { isCancellable } from './phases.ts'

/** Cancels a running move after asking once more; when it is too late it says why. */
export function CancelButton({ move }: { move: Move }) {
  const [opened, { open, close }] = useDisclosure()
  const refusal = cancelRefusal(move)
  return (
    <>
      <Tooltip label={refusal} disabled={refusal === null} multiline maw={320}>
        {/* aria-disabled and not disabled: the reason must be reachable by keyboard and pointer. */}
        <Button
          variant="default"
          aria-disabled={refusal !== null}
          data-disabled={refusal !== null}
          onClick={() => refusal === null && open()}
        >
          {move.cancelRequested ? 'Cancelling' : 'Cancel move'}
        </Button>
      </Tooltip>
      <Modal
        opened={opened && refusal === null}
        onClose={close}
        title="Cancel this move?"
        closeButtonProps={{ 'aria-label': 'Close' }}
      >
        <Confirmation move={move} onClose={close} />
      </Modal>
    </>
  )
}

function cancelRefusal({ phase, cancelRequested }: Move): string | null {
  if (cancelRequested) return 'The move is being cancelled.'
  if (isCancellable(phase)) return null
  const { title, next } = errorRegistry.move_not_cancellable
  return phase === 'aborting' ? 'The move is already being undone.' : `${title}. ${next}`
}

function Confirmation({ move, onClose }: { move: Move; onClose: () => void }) {
  const client = useQueryClient()
  const cancel = useMutation({
    mutationFn: () => orderMove(move.id, 'cancel'),
    onSuccess: (next) => {
      client.setQueryData<MoveDetail>(
        ['moves', 'detail', move.id],
        (before) => before && { ...before, ...next },
      )
      onClose()
    },
  })
  return (
    <Stack gap="md">
      <span>
        {move.tenant.slug} stays where it is, and what was made at the target is taken away again. Nothing is
        lost, and the move can be started anew at any time.
      </span>
      {cancel.error !== null && <ProblemAlert error={cancel.error} />}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose} data-autofocus>
          Keep moving
        </Button>
        <Button color="red" loading={cancel.isPending} onClick={() => cancel.mutate()}>
          Cancel the move
        </Button>
      </Group>
    </Stack>
  )
}
