import type { Move, MoveDetail } from '@freehold/contract'
import { Button, Group, Modal, Stack } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { endWindow, type WindowEnd } from '../api/moves.ts'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { placementText } from './placement-text.ts'

interface EndText {
  readonly button: string
  readonly question: string
  readonly consequence: (move: Move) => string
}

const texts: Readonly<Record<WindowEnd, EndText>> = {
  rollback: {
    button: 'Roll back',
    question: 'Roll this move back?',
    consequence: ({ tenant, from }) =>
      `${tenant.slug} goes back to ${placementText(from)} with all that was written since, and keeps working meanwhile. ` +
      'Then what was made at the target is removed.',
  },
  finalize: {
    button: 'Finalize now',
    question: 'End the rollback window?',
    consequence: ({ tenant, from }) =>
      `What ${tenant.slug} still has at ${placementText(from)} is removed. The move cannot be rolled back any more.`,
  },
}

/** Ends the rollback window of a move one way or the other, after asking once more. */
export function WindowButtons({ move }: { move: Move }) {
  const state = move.rollback?.state
  if (state !== 'open' && state !== 'unsafe') return null
  return (
    <>
      {state === 'open' && <EndButton move={move} end="rollback" />}
      <EndButton move={move} end="finalize" />
    </>
  )
}

function EndButton({ move, end }: { move: Move; end: WindowEnd }) {
  const [opened, { open, close }] = useDisclosure()
  return (
    <>
      <Button variant="default" onClick={open}>
        {texts[end].button}
      </Button>
      <Modal
        opened={opened}
        onClose={close}
        title={texts[end].question}
        closeButtonProps={{ 'aria-label': 'Close' }}
      >
        <Confirmation move={move} end={end} onClose={close} />
      </Modal>
    </>
  )
}

function Confirmation({ move, end, onClose }: { move: Move; end: WindowEnd; onClose: () => void }) {
  const client = useQueryClient()
  const send = useMutation({
    mutationFn: () => endWindow(move.id, end),
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
      <span>{texts[end].consequence(move)}</span>
      {send.error !== null && <ProblemAlert error={send.error} />}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose} data-autofocus>
          Keep the window open
        </Button>
        <Button color="red" loading={send.isPending} onClick={() => send.mutate()}>
          {texts[end].button}
        </Button>
      </Group>
    </Stack>
  )
}
