import { ActionIcon, CopyButton } from '@mantine/core'
import { IconCheck, IconCopy } from '@tabler/icons-react'
import classes from './copy-text.module.css'

/** An identifier with a button to copy it. */
export function CopyText({ text, name }: { text: string; name: string }) {
  return (
    <span className={classes.copy}>
      <span className={`mono ${classes.text}`}>{text}</span>
      <CopyButton value={text}>
        {({ copied, copy }) => (
          <ActionIcon
            size="xs"
            variant="subtle"
            color="gray"
            c="dimmed"
            aria-label={copied ? `${name} copied` : `Copy ${name}`}
            onClick={copy}
          >
            {copied ? <IconCheck size={13} /> : <IconCopy size={13} />}
          </ActionIcon>
        )}
      </CopyButton>
    </span>
  )
}
