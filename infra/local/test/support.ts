import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** A process that a test starts in order to kill it. */
export interface Victim {
  readonly process: ChildProcess
  /** The JSON that it wrote to say that it is ready. */
  readonly said: Record<string, unknown>
}

/** Runs a module of `fixtures/` (or any other path) until it has written its line of JSON. */
export async function startVictim(
  module: string,
  argument: string,
  options: SpawnOptions = {},
): Promise<Victim> {
  const path = module.startsWith('/')
    ? module
    : fileURLToPath(new URL(`./fixtures/${module}`, import.meta.url))
  const child = spawn(process.execPath, ['--conditions=@freehold/source', path, argument], {
    ...options,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  if (child.stdout === null) throw new Error('no stdout')
  for await (const line of createInterface({ input: child.stdout })) {
    const said: unknown = JSON.parse(line)
    if (said instanceof Object) return { process: child, said: { ...said } }
  }
  throw new Error(`${module} ended without a word`)
}

/** Whether a process runs; one that is dead and only not yet reaped by its parent does not. */
export function isRunning(pid: number): boolean {
  if (process.platform === 'linux') {
    if (!existsSync(`/proc/${pid}/stat`)) return false
    try {
      return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    } catch {
      return false
    }
  }
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Waits until a condition holds; false when it does not within the time. */
export async function within(milliseconds: number, condition: () => boolean): Promise<boolean> {
  const deadline = Date.now() + milliseconds
  while (!condition()) {
    if (Date.now() > deadline) return false
    await sleep(20)
  }
  return true
}
