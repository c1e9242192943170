import { Radio, Stack } from '@mantine/core'
import type { RegionChoices, TargetChoice } from './target-choices.ts'
import classes from './target-picker.module.css'

interface TargetPickerProps {
  readonly regions: readonly RegionChoices[]
  readonly value: string | null
  readonly onChange: (choice: TargetChoice) => void
}

/** The targets by region. Those out of bounds stay visible, with the reason. */
export function TargetPicker({ regions, value, onChange }: TargetPickerProps) {
  const choices = regions.flatMap((region) => region.choices)
  return (
    <Radio.Group
      label="Target"
      value={value}
      onChange={(picked) => {
        const choice = choices.find((each) => each.value === picked)
        if (choice !== undefined) onChange(choice)
      }}
    >
      <Stack gap="sm" mt={4}>
        {regions.map(({ region, choices: ofRegion }) => (
          <fieldset key={region.id} className={classes.region}>
            <legend className={classes.legend}>
              {region.name} <span className="dim">· jurisdiction {region.jurisdiction}</span>
            </legend>
            {ofRegion.map((choice) => (
              <Radio
                key={choice.value}
                value={choice.value}
                label={choice.label}
                description={choice.refusal ?? choice.description}
                disabled={choice.refusal !== null}
                className={classes.choice}
              />
            ))}
          </fieldset>
        ))}
      </Stack>
    </Radio.Group>
  )
}
