/** A barrier that stops a worker the first time it comes by. */
export function haltAt(barrier: string): {
  /** Resolves when a worker stands there. */
  readonly reached: Promise<void>
  goOn(): void
  readonly barrier: (name: string) => Promise<void>
} {
  const reached = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  let waiting = true
  return {
    reached: reached.promise,
    goOn: () => release.resolve(),
    barrier: async (name: string) => {
      if (name !== barrier || !waiting) return
      waiting = false
      reached.resolve()
      await release.promise
    },
  }
}
