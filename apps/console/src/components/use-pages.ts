import { useState } from 'react'

export interface Pages {
  /** From 1. */
  readonly number: number
  readonly cursor: string | undefined
  readonly forward: (nextCursor: string) => void
  readonly back: () => void
}

/**
 * Remembers the cursors of the pages gone through: a cursor only leads forward.
 *
 * @param list what is listed; another list starts at its first page.
 */
export function usePages(list: string): Pages {
  const [state, setState] = useState<{ list: string; cursors: readonly string[] }>({ list, cursors: [] })
  const cursors = state.list === list ? state.cursors : []
  return {
    number: cursors.length + 1,
    cursor: cursors.at(-1),
    forward: (nextCursor) => setState({ list, cursors: [...cursors, nextCursor] }),
    back: () => setState({ list, cursors: cursors.slice(0, -1) }),
  }
}
