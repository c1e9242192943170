// Loaded into every Node process that child-process.ts starts. The channel to the parent closes when the parent
// dies, by SIGKILL too; the process then stops as if asked to, or is killed when that takes too long.
const GRACE_MS = 5_000

process.once('disconnect', () => {
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), GRACE_MS).unref()
  process.kill(process.pid, 'SIGTERM')
})
// The listener alone would keep a process alive that has nothing left to do.
process.channel?.unref()
