import { Button, Center, Group, Loader, Stack } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { getOperator } from '../api/operator.ts'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { SignInPage } from '../pages/sign-in-page.tsx'
import { OperatorContext } from './operator-context.ts'
import { endSession, useSession } from './session.ts'

/** Shows its children to whoever is signed in, and the sign-in page at the same address to everybody else. */
export function SessionGate({ children }: { children: ReactNode }) {
  const { token } = useSession()
  return token === null ? <SignInPage /> : <KnownOperator>{children}</KnownOperator>
}

function KnownOperator({ children }: { children: ReactNode }) {
  const query = useQuery({
    queryKey: ['operator'],
    queryFn: ({ signal }) => getOperator(signal),
    staleTime: Number.POSITIVE_INFINITY,
  })
  if (query.isSuccess) return <OperatorContext value={query.data}>{children}</OperatorContext>
  return (
    <Center mih="100vh" p="md">
      {query.isPending ? (
        <Loader size="sm" aria-label="Signing in" />
      ) : (
        <Stack w="min(32rem, 100%)">
          <ProblemAlert error={query.error} />
          <Group>
            <Button onClick={() => query.refetch()} loading={query.isFetching}>
              Try again
            </Button>
            <Button variant="default" onClick={() => endSession()}>
              Sign out
            </Button>
          </Group>
        </Stack>
      )}
    </Center>
  )
}
