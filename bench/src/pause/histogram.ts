/** Upper ends of the bars, ms; the last bar has none. */
const BOUNDS = [5, 10, 15, 20, 30, 50, 75, 100, 200, 500]
const WIDTH = 40

/** How often values fell into which range, as lines of text. */
export function histogram(values: readonly number[]): string {
  const counts = [...BOUNDS, Number.POSITIVE_INFINITY].map((upper, index) => {
    const lower = BOUNDS[index - 1] ?? 0
    return { lower, upper, count: values.filter((value) => value >= lower && value < upper).length }
  })
  const used = counts.findLastIndex(({ count }) => count > 0) + 1
  const most = Math.max(...counts.map(({ count }) => count), 1)
  return counts
    .slice(0, used)
    .map(({ lower, upper, count }) => {
      const range = upper === Number.POSITIVE_INFINITY ? `${lower} ms and more` : `${lower} to ${upper} ms`
      return `${range.padStart(16)}  ${'#'.repeat(Math.ceil((count / most) * WIDTH)).padEnd(WIDTH)} ${count}`
    })
    .join('\n')
}
