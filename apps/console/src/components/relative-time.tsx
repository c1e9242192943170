import { Tooltip } from '@mantine/core'
import { formatExact, formatRelative } from '../format/time.ts'
import { useTextAt } from './use-text-at.ts'

/** How long ago something was, with the exact time at hand. */
export function RelativeTime({ at }: { at: string }) {
  const text = useTextAt((now) => formatRelative(at, now))
  return (
    <Tooltip label={formatExact(at)}>
      <time dateTime={at}>{text}</time>
    </Tooltip>
  )
}
