import { Modal, Skeleton, Stack } from '@mantine/core'
import { useTopology } from '../api/use-topology.ts'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { CreateTenantForm } from './create-tenant-form.tsx'

interface CreateTenantDialogProps {
  readonly opened: boolean
  readonly onClose: () => void
}

export function CreateTenantDialog({ opened, onClose }: CreateTenantDialogProps) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title="Create tenant"
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <DialogBody onClose={onClose} />
    </Modal>
  )
}

/** Mounted anew each time the dialog opens, so that it never shows what was typed the time before. */
function DialogBody({ onClose }: { onClose: () => void }) {
  const topology = useTopology()
  if (topology.isSuccess) return <CreateTenantForm topology={topology.data} onClose={onClose} />
  if (topology.isError) return <ProblemAlert error={topology.error} />
  return (
    <Stack role="status" aria-label="Loading">
      <Skeleton height={54} />
      <Skeleton height={54} />
      <Skeleton height={54} />
    </Stack>
  )
}
