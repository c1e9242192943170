import type { Tenant } from '@freehold/contract'
import { Modal, Skeleton, Stack } from '@mantine/core'
import { useTopology } from '../api/use-topology.ts'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { PromoteForm } from './promote-form.tsx'

interface PromoteDialogProps {
  readonly tenant: Tenant
  readonly opened: boolean
  readonly onClose: () => void
}

export function PromoteDialog({ tenant, opened, onClose }: PromoteDialogProps) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      size="lg"
      title={`Move ${tenant.slug}`}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <DialogBody tenant={tenant} onClose={onClose} />
    </Modal>
  )
}

/** Mounted anew each time the dialog opens, so that no target is chosen yet. */
function DialogBody({ tenant, onClose }: Omit<PromoteDialogProps, 'opened'>) {
  const topology = useTopology()
  if (topology.isSuccess) return <PromoteForm tenant={tenant} topology={topology.data} onClose={onClose} />
  if (topology.isError) return <ProblemAlert error={topology.error} />
  return (
    <Stack role="status" aria-label="Loading">
      <Skeleton height={48} />
      <Skeleton height={48} />
      <Skeleton height={48} />
    </Stack>
  )
}
