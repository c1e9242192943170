import { readFileSync } from 'node:fs'

/** CPU time in µs. */
export interface CpuTime {
  /** Of this process. */
  readonly clientUs: number
  /** Of the server's processes; null where the system does not tell. */
  readonly serverUs: number | null
}

/** Begins to measure. @returns how to end, which tells what was used in between. */
export function measureCpuTime(serverPid: number): () => CpuTime {
  const client = process.cpuUsage()
  const server = onCpuNs(serverPid)
  return () => {
    const { user, system } = process.cpuUsage(client)
    const after = onCpuNs(serverPid)
    return { clientUs: user + system, serverUs: server && after ? differenceUs(server, after) : null }
  }
}

/** A process that has ended in the meantime takes its time with it; that of the others still counts. */
function differenceUs(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): number {
  let nanoseconds = 0
  for (const [pid, time] of after) nanoseconds += time - (before.get(pid) ?? 0)
  return nanoseconds / 1_000
}

/** How long each child of the server has run: the first field of Linux's `schedstat`. */
function onCpuNs(postmaster: number): ReadonlyMap<string, number> | null {
  try {
    const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8').trim().split(' ')
    const times = children.map((pid) => {
      const [time = ''] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
      return [pid, Number(time)] as const
    })
    return new Map(times)
  } catch {
    return null
  }
}
