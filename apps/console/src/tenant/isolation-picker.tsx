import { type Isolation, isolationSchema } from '@freehold/contract'
import { Group, Radio } from '@mantine/core'

interface IsolationPickerProps {
  readonly value: Isolation
  readonly tier: { readonly id: string; readonly isolation: Isolation | undefined }
  readonly onChange: (isolation: Isolation) => void
}

const descriptions: Readonly<Record<Isolation, string>> = {
  pool: 'The shared tables of a pool',
  schema: 'A schema of its own in a pool',
  silo: 'A database of its own',
}

/** How the tenant is to be kept apart. */
export function IsolationPicker({ value, tier, onChange }: IsolationPickerProps) {
  return (
    <Radio.Group
      label="Isolation"
      value={value}
      onChange={(picked) => onChange(isolationSchema.parse(picked))}
    >
      <Group gap="lg" mt={4}>
        {isolationSchema.options.map((isolation) => (
          <Radio
            key={isolation}
            value={isolation}
            label={isolation}
            description={`${descriptions[isolation]}${isolation === tier.isolation ? `; the ${tier.id} tier’s` : ''}`}
          />
        ))}
      </Group>
    </Radio.Group>
  )
}
