import { errorRegistry, type Move } from '@freehold/contract'
import { Button, Tooltip } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { orderMove } from '../api/moves.ts'
import { useKnownMove } from '../api/use-known-move.ts'
import { Confirmation } from '../components/confirmation.tsx'
import { isCancellable } from './phases.ts'

/** Cancels a running move after asking once more; when it is too late it says why. */
export function CancelButton({ move }: { move: Move }) {
  const [opened, { open, close }] = useDisclosure()
  const refusal = cancelRefusal(move)
  const show = useKnownMove()
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
      <Confirmation
        opened={opened && refusal === null}
        onClose={close}
        question="Cancel this move?"
        consequence={
          `${move.tenant.slug} stays where it is, and what was made at the target is taken away again. Nothing is ` +
          'lost, and the move can be started anew at any time.'
        }
        yes="Cancel the move"
        no="Keep moving"
        carryOut={() => orderMove(move.id, 'cancel')}
        onDone={show}
      />
    </>
  )
}

function cancelRefusal({ phase, cancelRequested }: Move): string | null {
  if (cancelRequested) return 'The move is being cancelled.'
  if (isCancellable(phase)) return null
  const { title, next } = errorRegistry.move_not_cancellable
  return phase === 'aborting' ? 'The move is already being undone.' : `${title}. ${next}`
}
