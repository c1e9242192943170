import type { Cluster, EvacuationTarget, Topology } from '@freehold/contract'
import { Button, Group, NativeSelect, NumberInput, Stack } from '@mantine/core'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { type AskedDrain, drainCluster } from '../api/clusters.ts'
import { useDrainingChanged, useDrainPlan } from '../api/use-evacuation.ts'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { DrainPlanView } from './drain-plan-view.tsx'

const MOST_MOVES = 100

/** Choose where the tenants go, have each of them checked, and only then begin. */
export function DrainForm({ cluster, topology }: { cluster: Cluster; topology: Topology }) {
  const targets = drainTargets(cluster, topology)
  const [picked, setPicked] = useState(targets[0]?.value ?? '')
  const [maxConcurrent, setMaxConcurrent] = useState(2)
  /** 0: nothing was checked since something else was chosen. */
  const [attempt, setAttempt] = useState(0)
  const to = targets.find(({ value }) => value === picked)?.target ?? { region: cluster.region }
  const asked: AskedDrain = { to, maxConcurrent }
  const plan = useDrainPlan(cluster.id, asked, attempt)
  const changed = useDrainingChanged(cluster.id)
  const start = useMutation({
    mutationFn: () => drainCluster(cluster.id, asked),
    onSuccess: (evacuation) => {
      setAttempt(0)
      changed(evacuation)
    },
  })
  const choose = (change: () => void) => {
    change()
    setAttempt(0)
    start.reset()
  }
  return (
    <Stack gap="md">
      <Group align="flex-start" gap="md">
        <NativeSelect
          label="To"
          description="Where its tenants are to live, kept apart as before"
          data={targets.map(({ value, label }) => ({ value, label }))}
          value={picked}
          onChange={({ currentTarget }) => choose(() => setPicked(currentTarget.value))}
        />
        <NumberInput
          label="Moves at the same time"
          description={`1 to ${MOST_MOVES}`}
          min={1}
          max={MOST_MOVES}
          allowDecimal={false}
          clampBehavior="strict"
          value={maxConcurrent}
          onChange={(value) => typeof value === 'number' && choose(() => setMaxConcurrent(value))}
        />
      </Group>
      {attempt > 0 && <DrainPlanView cluster={cluster.id} plan={plan} />}
      {start.error !== null && <ProblemAlert error={start.error} />}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" loading={plan.checking} onClick={() => setAttempt(attempt + 1)}>
          {attempt === 0 ? 'Check its tenants' : 'Check again'}
        </Button>
        <Button disabled={!plan.complete} loading={start.isPending} onClick={() => start.mutate()}>
          Start draining
        </Button>
      </Group>
    </Stack>
  )
}

/** The cluster's own region first, which is what is meant unless something else is said. */
function drainTargets({ id, region }: Cluster, { regions, clusters }: Topology) {
  const toRegion = (target: EvacuationTarget & { region: string }, label: string) => ({
    value: `region:${target.region}`,
    label,
    target,
  })
  return [
    toRegion({ region }, `Other clusters of ${region}`),
    ...regions
      .filter((each) => each.id !== region)
      .map((each) => toRegion({ region: each.id }, `Region ${each.id}`)),
    ...clusters
      .filter((each) => each.id !== id && each.drainingSince === null)
      .map((each) => ({
        value: `cluster:${each.id}`,
        label: `Cluster ${each.id}`,
        target: { cluster: each.id },
      })),
  ]
}
