import type { Tenant } from '@freehold/contract'
import { Button, Tooltip } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { IconArrowUpRight } from '@tabler/icons-react'
import { PromoteDialog } from './promote-dialog.tsx'

/** Opens the dialog that moves the tenant; while the tenant is being moved it says so instead. */
export function PromoteButton({ tenant }: { tenant: Tenant }) {
  const [opened, { open, close }] = useDisclosure()
  const moving = tenant.activeMoveId !== null
  return (
    <>
      <Tooltip label="The tenant is already being moved" disabled={!moving}>
        {/* aria-disabled and not disabled: the reason must be reachable by keyboard and pointer. */}
        <Button
          leftSection={<IconArrowUpRight size={16} aria-hidden />}
          aria-disabled={moving}
          data-disabled={moving}
          onClick={() => !moving && open()}
        >
          {tenant.placement.isolation === 'silo' ? 'Move' : 'Promote'}
        </Button>
      </Tooltip>
      <PromoteDialog tenant={tenant} opened={opened} onClose={close} />
    </>
  )
}
