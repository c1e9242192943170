import { type Command, InvalidArgumentError } from 'commander'

export interface PageOptions {
  readonly limit: number
  readonly cursor?: string
}

/** Options of a command that lists. */
export function addPageOptions(command: Command): Command {
  return command
    .option('--limit <count>', 'how many at most, 1 to 200', parseLimit, 50)
    .option('--cursor <cursor>', 'go on after the page that ended with this')
}

/** Says under a list how to see the rest. */
export function withMore(list: string, nextCursor: string | null): string {
  return nextCursor === null ? list : `${list}\n\nThere are more: --cursor ${nextCursor}`
}

function parseLimit(text: string): number {
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= 200) return limit
  throw new InvalidArgumentError('It must be a whole number from 1 to 200.')
}
