import { Skeleton, Stack } from '@mantine/core'

/** The place of a list that is on its way. */
export function RowsSkeleton({ rows = 6 }: { rows?: number }) {
  return (
    <Stack role="status" aria-label="Loading" gap="sm" p="md">
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all the same
        <Skeleton key={row} height={20} width={`${96 - (row % 3) * 9}%`} />
      ))}
    </Stack>
  )
}
