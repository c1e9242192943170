import type { Topology } from '@freehold/contract'
import { Button, Group, NativeSelect, Stack, TextInput } from '@mantine/core'
import { notifications } from '@mantine/notifications'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { useLocation } from 'wouter'
import { useIdempotentSend } from '../api/idempotency-key.ts'
import { problemOf } from '../api/problem-error.ts'
import { createTenant } from '../api/tenants.ts'
import { ProblemAlert } from '../components/problem-alert.tsx'
import {
  emptyDraft,
  problemErrors,
  readDraft,
  type TenantField,
  type TenantFieldErrors,
} from './tenant-draft.ts'

interface CreateTenantFormProps {
  readonly topology: Topology
  readonly onClose: () => void
}

export function CreateTenantForm({ topology, onClose }: CreateTenantFormProps) {
  const { errors, unplaced, pending, register, submit } = useTenantForm(topology, onClose)
  const jurisdictions = [...new Set(topology.regions.map((region) => region.jurisdiction))]
  return (
    <form onSubmit={submit} noValidate aria-label="Create tenant">
      <Stack gap="sm">
        <TextInput
          label="Slug"
          description="Lower-case letters, digits and hyphens; names the tenant in addresses"
          autoFocus
          data-autofocus
          autoComplete="off"
          spellCheck={false}
          {...register('slug')}
        />
        <TextInput label="Name" autoComplete="off" {...register('name')} />
        <NativeSelect
          label="Tier"
          data={topology.tiers.map((tier) => ({ value: tier.id, label: `${tier.name} (${tier.isolation})` }))}
          {...register('tier')}
        />
        <NativeSelect
          label="Region"
          description="The tenant starts in a pool of this region"
          data={topology.regions.map((region) => ({
            value: region.id,
            label: `${region.name} (${region.id}, jurisdiction ${region.jurisdiction})`,
          }))}
          {...register('region')}
        />
        <NativeSelect
          label="Residency"
          description="Data of a pinned tenant never leaves the jurisdiction"
          data={[
            { value: '', label: 'Not pinned' },
            ...jurisdictions.map((name) => ({ value: name, label: `Pinned to ${name}` })),
          ]}
          {...register('residency')}
        />
        {unplaced !== null && Object.keys(errors).length === 0 && <ProblemAlert error={unplaced} />}
        <Group justify="flex-end" gap="xs" mt="xs">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={pending}>
            Create tenant
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

function useTenantForm(topology: Topology, onClose: () => void) {
  const [draft, setDraft] = useState(() => emptyDraft(topology))
  const [errors, setErrors] = useState<TenantFieldErrors>({})
  const create = useCreateTenant(onClose, (error) => setErrors(problemErrors(problemOf(error))))

  const submit = (event: FormEvent) => {
    event.preventDefault()
    const read = readDraft(draft, topology)
    if ('errors' in read) return setErrors(read.errors)
    setErrors({})
    create.mutate(read.request)
  }
  const register = (field: TenantField) => ({
    value: draft[field],
    error: errors[field],
    onChange: ({ currentTarget }: { currentTarget: { value: string } }) => {
      const { value } = currentTarget
      setDraft((before) => ({ ...before, [field]: value }))
      setErrors(({ [field]: _mended, ...others }) => others)
    },
  })
  return { errors, unplaced: create.error, pending: create.isPending, register, submit }
}

function useCreateTenant(onCreated: () => void, onError: (error: unknown) => void) {
  const client = useQueryClient()
  const [, navigate] = useLocation()
  const send = useIdempotentSend(createTenant)
  return useMutation({
    mutationFn: send,
    onError,
    onSuccess: (tenant) => {
      void client.invalidateQueries({ queryKey: ['tenants'] })
      notifications.show({
        title: 'Tenant created',
        message: `${tenant.name} lives in ${tenant.placement.database}.`,
        color: 'teal',
      })
      onCreated()
      navigate(`/tenants/${tenant.slug}`)
    },
  })
}
