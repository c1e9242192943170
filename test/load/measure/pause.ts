/** An interval of time, in milliseconds since 1970 as `Date.now()` counts them. */
export interface Interval {
  readonly from: number
  readonly to: number
}

/**
 * The longest time between two neighbouring instants that overlaps a window, nothing deducted: with the instants at
 * which writes were acknowledged and the time of a cutover it is what clients saw of the cutover.
 *
 * @param instants ascending.
 * @param load when the load ran: before its first and after its last acknowledgement there is a gap too.
 */
export function longestGap(instants: readonly number[], load: Interval, window: Interval): number {
  let longest = 0
  let previous = load.from
  const consider = (next: number) => {
    if (previous <= window.to && next >= window.from) longest = Math.max(longest, next - previous)
    previous = next
  }
  for (const instant of instants) consider(instant)
  consider(load.to)
  return longest
}
