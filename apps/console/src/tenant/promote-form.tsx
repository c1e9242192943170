import { isBlocked, type Tenant, type Topology } from '@freehold/contract'
import { Button, Checkbox, Group, Stack } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { useLocation } from 'wouter'
import { useIdempotentSend } from '../api/idempotency-key.ts'
import { type AskedMove, planMove, startMove } from '../api/moves.ts'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { PlanView } from './plan-view.tsx'
import { type TargetChoice, targetChoices } from './target-choices.ts'
import { TargetPicker } from './target-picker.tsx'

interface PromoteFormProps {
  readonly tenant: Tenant
  readonly topology: Topology
  readonly onClose: () => void
}

/** Choose a target, see what a move there would do, and only then start it. */
export function PromoteForm({ tenant, topology, onClose }: PromoteFormProps) {
  const regions = useMemo(() => targetChoices(topology, tenant), [topology, tenant])
  const [choice, setChoice] = useState<TargetChoice | null>(null)
  const [repair, setRepair] = useState(false)
  const plan = usePlan(tenant, choice, repair)
  const start = useStartMove(tenant)
  return (
    <Stack gap="md">
      <TargetPicker
        regions={regions}
        value={choice?.value ?? null}
        onChange={(next) => {
          start.reset()
          setChoice(next)
        }}
      />
      <Checkbox
        checked={repair}
        onChange={(event) => setRepair(event.currentTarget.checked)}
        label="Repair rows that differ"
        description="Verification rewrites them at the target and compares again; otherwise the move is given up."
      />
      {choice !== null && <PlanView plan={plan.data} error={plan.error} pending={plan.isFetching} />}
      {start.error !== null && <ProblemAlert error={start.error} />}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <Button
          disabled={choice === null || !plan.isSuccess || plan.isFetching || isBlocked(plan.data)}
          loading={start.isPending}
          onClick={() => choice !== null && start.mutate({ target: choice.target, repair })}
        >
          Start move
        </Button>
      </Group>
    </Stack>
  )
}

/** The dry run of the choice, made anew for each choice: what it says holds only for the moment. */
function usePlan(tenant: Tenant, choice: TargetChoice | null, repair: boolean) {
  return useQuery({
    queryKey: ['plan', tenant.id, choice?.value, repair],
    enabled: choice !== null,
    queryFn: ({ signal }) => {
      if (choice === null) throw new Error('A plan needs a target.')
      return planMove(tenant.id, { target: choice.target, repair }, signal)
    },
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  })
}

function useStartMove(tenant: Tenant) {
  const client = useQueryClient()
  const [, navigate] = useLocation()
  const send = useIdempotentSend((asked: AskedMove, key: string) => startMove(tenant.id, asked, key))
  return useMutation({
    mutationFn: send,
    onSuccess: (move) => {
      void client.invalidateQueries({ queryKey: ['tenants'] })
      void client.invalidateQueries({ queryKey: ['moves', 'list'] })
      navigate(`/moves/${move.id}`)
    },
  })
}
