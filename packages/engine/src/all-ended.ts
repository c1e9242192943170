/**
 * Waits until all have ended, whichever way, and only then throws what the first of them has thrown: nothing is left at
 * work behind the back of whoever is told of the failure.
 */
export async function allEnded(work: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(work)
  await Promise.all(work)
}
