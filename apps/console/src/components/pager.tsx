import { Button, Group } from '@mantine/core'
import { IconChevronLeft, IconChevronRight } from '@tabler/icons-react'
import classes from './pager.module.css'
import type { Pages } from './use-pages.ts'

/** Steps through the pages of a list; absent when there is only one. */
export function Pager({
  pages,
  nextCursor,
  name,
}: {
  pages: Pages
  nextCursor: string | null
  name: string
}) {
  if (pages.number === 1 && nextCursor === null) return null
  return (
    <Group component="nav" aria-label={`Pages of ${name}`} justify="space-between" className={classes.pager}>
      <span className="dim">Page {pages.number}</span>
      <Group gap="xs">
        <Button
          variant="default"
          leftSection={<IconChevronLeft size={15} aria-hidden />}
          disabled={pages.number === 1}
          onClick={pages.back}
        >
          Previous
        </Button>
        <Button
          variant="default"
          rightSection={<IconChevronRight size={15} aria-hidden />}
          disabled={nextCursor === null}
          onClick={() => nextCursor !== null && pages.forward(nextCursor)}
        >
          Next
        </Button>
      </Group>
    </Group>
  )
}
