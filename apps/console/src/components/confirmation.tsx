import { Button, Group, Modal, Stack } from '@mantine/core'
import { useMutation } from '@tanstack/react-query'
import { ProblemAlert } from './problem-alert.tsx'

interface ConfirmationProps<Answer> {
  readonly opened: boolean
  readonly onClose: () => void
  readonly question: string
  /** What will be the case afterwards. */
  readonly consequence: string
  /** What the button says that does it. */
  readonly yes: string
  /** What the button says that leaves everything as it is. */
  readonly no: string
  readonly carryOut: () => Promise<Answer>
  readonly onDone: (answer: Answer) => void
}

/** Asks once more before something is done that matters, and says why when it is refused. */
export function Confirmation<Answer>(props: ConfirmationProps<Answer>) {
  const { opened, onClose, question } = props
  return (
    <Modal opened={opened} onClose={onClose} title={question} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Body {...props} />
    </Modal>
  )
}

/** Mounted anew each time it is asked, so that an earlier refusal is not shown again. */
function Body<Answer>({ consequence, yes, no, carryOut, onDone, onClose }: ConfirmationProps<Answer>) {
  const confirmed = useMutation({
    mutationFn: carryOut,
    onSuccess: (answer) => {
      onDone(answer)
      onClose()
    },
  })
  return (
    <Stack gap="md">
      <span>{consequence}</span>
      {confirmed.error !== null && <ProblemAlert error={confirmed.error} />}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose} data-autofocus>
          {no}
        </Button>
        <Button color="red" loading={confirmed.isPending} onClick={() => confirmed.mutate()}>
          {yes}
        </Button>
      </Group>
    </Stack>
  )
}
