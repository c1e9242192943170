import { InvalidArgumentError } from 'commander'

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const

/**
 * Parses `900`, `90s`, `30m`, `12h` or `7d`.
 *
 * @returns seconds.
 * @throws InvalidArgumentError
 */
export function parseDuration(text: string): number {
  const { count, unit = 's' } = /^(?<count>\d{1,9})(?<unit>[smhd])?$/.exec(text)?.groups ?? {}
  if (count === undefined || !isUnit(unit)) {
    throw new InvalidArgumentError('It must be a number of seconds, or a number with s, m, h or d.')
  }
  return Number(count) * SECONDS[unit]
}

function isUnit(unit: string): unit is keyof typeof SECONDS {
  return unit in SECONDS
}
