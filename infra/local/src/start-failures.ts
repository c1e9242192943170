/** What to do when something was waited for in vain. */
export const SLOW_MACHINE =
  'When the machine is busy, wait until it is less so and start again: what has been made is kept.'

/** What something that did not start has said at last; that it has said nothing is told as well. */
export function lastWords(lines: readonly string[]): string {
  const said = lines.join('\n').trim()
  return said === '' ? 'It has written nothing.' : `The last that it has written:\n${said}`
}
