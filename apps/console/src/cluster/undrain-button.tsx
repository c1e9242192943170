import { Button } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { undrainCluster } from '../api/clusters.ts'
import { useDrainingChanged } from '../api/use-evacuation.ts'
import { Confirmation } from '../components/confirmation.tsx'

/** Ends the draining of a cluster after asking once more. */
export function UndrainButton({ cluster }: { cluster: string }) {
  const [opened, { open, close }] = useDisclosure()
  const changed = useDrainingChanged(cluster)
  return (
    <>
      <Button variant="default" onClick={open}>
        Stop draining
      </Button>
      <Confirmation
        opened={opened}
        onClose={close}
        question={`Stop draining ${cluster}?`}
        consequence={
          'It takes tenants and moves again, and no further tenant is moved away. Moves that have begun go to their end; ' +
          'those that have not are given up, and their tenants stay.'
        }
        yes="Stop it"
        no="Go on draining"
        carryOut={() => undrainCluster(cluster)}
        onDone={() => changed()}
      />
    </>
  )
}
