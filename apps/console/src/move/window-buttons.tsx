import type { Move } from '@freehold/contract'
import { Button } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { endWindow, type WindowEnd } from '../api/moves.ts'
import { useKnownMove } from '../api/use-known-move.ts'
import { Confirmation } from '../components/confirmation.tsx'
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
  const show = useKnownMove()
  const { button, question, consequence } = texts[end]
  return (
    <>
      <Button variant="default" onClick={open}>
        {button}
      </Button>
      <Confirmation
        opened={opened}
        onClose={close}
        question={question}
        consequence={consequence(move)}
        yes={button}
        no="Keep the window open"
        carryOut={() => endWindow(move.id, end)}
        onDone={show}
      />
    </>
  )
}
