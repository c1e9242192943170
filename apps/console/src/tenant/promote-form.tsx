import { defaultIsolation, type Isolation, isBlocked, type Tenant, type Topology } from '@freehold/contract'
import { Button, Checkbox, Group, NativeSelect, Stack } from '@mantine/core'
import { skipToken, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { useLocation } from 'wouter'
import { useIdempotentSend } from '../api/idempotency-key.ts'
import { type AskedMove, planMove, startMove } from '../api/moves.ts'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { IsolationPicker } from './isolation-picker.tsx'
import { PlanView } from './plan-view.tsx'
import { targetChoices } from './target-choices.ts'
import { TargetPicker } from './target-picker.tsx'

interface PromoteFormProps {
  readonly tenant: Tenant
  readonly topology: Topology
  readonly onClose: () => void
}

/** Choose how and where the tenant is to live, see what a move there would do, and only then start it. */
export function PromoteForm({ tenant, topology, onClose }: PromoteFormProps) {
  const ofTier = topology.tiers.find(({ id }) => id === tenant.tier)?.isolation
  const { isolation: now } = tenant.placement
  const [isolation, setIsolation] = useState<Isolation>(defaultIsolation('promotion', now, ofTier ?? now))
  const [picked, setPicked] = useState<string | null>(null)
  const [repair, setRepair] = useState(false)
  const [rollbackWindow, setRollbackWindow] = useState('')
  const regions = useMemo(() => targetChoices(topology, tenant, isolation), [topology, tenant, isolation])
  const choice = regions
    .flatMap(({ choices }) => choices)
    .find(({ value, refusal }) => value === picked && refusal === null)
  const asked = choice && {
    target: choice.target,
    repair,
    ...(rollbackWindow === '' ? {} : { rollbackWindowSeconds: Number(rollbackWindow) }),
  }
  const plan = usePlan(tenant, asked)
  const start = useStartMove(tenant)
  return (
    <Stack gap="md">
      <IsolationPicker
        value={isolation}
        tier={{ id: tenant.tier, isolation: ofTier }}
        onChange={(next) => {
          start.reset()
          setIsolation(next)
        }}
      />
      <TargetPicker
        regions={regions}
        value={choice?.value ?? null}
        onChange={(next) => {
          start.reset()
          setPicked(next.value)
        }}
      />
      <NativeSelect
        label="Rollback window"
        description="How long the move can be rolled back after the switch"
        data={rollbackWindows}
        value={rollbackWindow}
        onChange={(event) => setRollbackWindow(event.currentTarget.value)}
      />
      <Checkbox
        checked={repair}
        onChange={(event) => setRepair(event.currentTarget.checked)}
        label="Repair rows that differ"
        description="Verification rewrites them at the target and compares again; otherwise the move is given up."
      />
      {asked !== undefined && <PlanView plan={plan.data} error={plan.error} pending={plan.isFetching} />}
      {start.error !== null && <ProblemAlert error={start.error} />}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <Button
          disabled={asked === undefined || !plan.isSuccess || plan.isFetching || isBlocked(plan.data)}
          loading={start.isPending}
          onClick={() => asked !== undefined && start.mutate(asked)}
        >
          Start move
        </Button>
      </Group>
    </Stack>
  )
}

const rollbackWindows = [
  { value: '', label: 'As the control API is configured' },
  { value: '0', label: 'None' },
  { value: '3600', label: '1 hour' },
  { value: '86400', label: '1 day' },
  { value: '604800', label: '7 days' },
]

/** The dry run of what is asked, made anew for each choice: what it says holds only for the moment. */
function usePlan(tenant: Tenant, asked: AskedMove | undefined) {
  return useQuery({
    queryKey: ['plan', tenant.id, asked],
    queryFn: asked === undefined ? skipToken : ({ signal }) => planMove(tenant.id, asked, signal),
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
