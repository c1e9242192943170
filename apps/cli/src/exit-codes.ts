/** How the process ends; documented in docs/cli.md and in `freehold --help`. */
export const EXIT = {
  ok: 0,
  /** The control API refused, failed or could not be reached; stderr says why and what to do next. */
  error: 1,
  /** The command line was not understood; nothing was sent. */
  usage: 2,
  /** `doctor`, or a plan, has findings that block. */
  findings: 1,
  /** `doctor` could not check the database. */
  unchecked: 2,
  /** The move that was watched was given up or rolled back; the tenant is where it was. */
  aborted: 3,
  /** Stopped by Ctrl-C; a move that was watched goes on. */
  interrupted: 130,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]
