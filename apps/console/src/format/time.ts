const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })

const exact = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  timeZoneName: 'short',
})

const clock = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
})

const steps = [
  { unit: 'second', seconds: 1, until: 60 },
  { unit: 'minute', seconds: 60, until: 3600 },
  { unit: 'hour', seconds: 3600, until: 86_400 },
  { unit: 'day', seconds: 86_400, until: 30 * 86_400 },
  { unit: 'month', seconds: 30 * 86_400, until: 365 * 86_400 },
  { unit: 'year', seconds: 365 * 86_400, until: Number.POSITIVE_INFINITY },
] as const

/** How long ago (or ahead) an instant is: `just now`, `5 seconds ago`, `yesterday`. */
export function formatRelative(instant: string, now: number): string {
  const seconds = (Date.parse(instant) - now) / 1000
  // The clocks of browser and server differ a little: what just happened is not "in 1 second".
  if (Math.abs(seconds) < 2) return 'just now'
  const step = steps.find(({ until }) => Math.abs(seconds) < until)
  return step === undefined ? '' : relative.format(Math.trunc(seconds / step.seconds), step.unit)
}

/** Date, time and zone of the viewer, to the second. */
export function formatExact(instant: string): string {
  return exact.format(Date.parse(instant))
}

/** Time of day of the viewer, to the millisecond. */
export function formatClock(instant: string): string {
  return clock.format(Date.parse(instant))
}
