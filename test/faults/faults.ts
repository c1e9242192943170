import { type FaultGround, type ServerName, serverNames } from './fault-ground.ts'

/** Something that goes wrong, and is mended: what is killed is started again, what is cut may connect again. */
export interface Fault {
  readonly name: string
  /** Faults of a kind differ in whom they strike. */
  readonly kind: string
  /** Whether requests of the tenant's own can fail by it, as those do that were under way at a killed server. */
  readonly hitsWriters: boolean
  /** How long whatever was struck is away, ms. */
  readonly awayMs: number
  /** Nothing comes of waiting. */
  readonly lasting: boolean
  /** Whether the matrix strikes at every barrier, or only where a tenant may stand between two homes: it takes its time. */
  readonly everywhere: boolean
  strike(ground: FaultGround): Promise<void>
  mend(ground: FaultGround): Promise<void>
}

/** How long a server that was killed is away, ms. */
const DOWN_MS = 250
/** How long nothing is heard on a connection before its ends give it up, ms. */
const SILENT_MS = 3_000
/** How long nothing gets through to a server, ms: longer than the 5 s for which a connection is waited for. */
const UNREACHABLE_MS = 6_000
/** How long the worker's clock is wrong, ms. */
const JUMPED_MS = 500
const HOUR_MS = 3_600_000

const workerKilled: Fault = {
  name: 'worker killed',
  kind: 'worker killed',
  hitsWriters: false,
  awayMs: 0,
  lasting: false,
  everywhere: true,
  strike: ({ worker }) => worker.kill(),
  async mend({ worker, expireLeases }) {
    await expireLeases()
    await worker.start()
  },
}

/** The worker's connections to a server are closed under it. */
const cutOff = (server: ServerName): Fault => ({
  name: `${server} cut off`,
  kind: 'cut off',
  hitsWriters: false,
  awayMs: 0,
  lasting: false,
  everywhere: true,
  strike: async ({ proxies }) => proxies[server].cut(),
  mend: async () => undefined,
})

/** One of the worker's connections to a server, the others go on. */
const oneCutOff = (server: ServerName, what: string, name: RegExp): Fault => ({
  ...cutOff(server),
  name: `${server} cut off from ${what}`,
  kind: 'one connection cut off',
  strike: async ({ proxies }) => proxies[server].cut(name),
})

/** What the worker and a server send each other is lost, on the connections that there are, and nobody tells them. */
const vanished = (server: ServerName): Fault => ({
  name: `${server} vanished`,
  kind: 'vanished',
  hitsWriters: false,
  awayMs: SILENT_MS,
  lasting: false,
  everywhere: true,
  strike: async ({ proxies }) => proxies[server].vanish(),
  // What a system does in the end that hears nothing from the other end of a connection.
  mend: async ({ proxies }) => proxies[server].cut(),
})

/** As {@link vanished}, and whoever connects anew gets no answer either. */
const unreachable = (server: ServerName): Fault => ({
  ...vanished(server),
  name: `${server} unreachable`,
  kind: 'unreachable',
  awayMs: UNREACHABLE_MS,
  everywhere: false,
  async strike({ proxies }) {
    proxies[server].vanish()
    proxies[server].swallow(/^/)
  },
  async mend({ proxies }) {
    proxies[server].swallow()
    proxies[server].cut()
  },
})

/** The worker takes it for an hour later or earlier than it is, all at once and for a while. */
const clockJumped = (direction: 'forward' | 'back', ms: number): Fault => ({
  name: `clock set ${direction}`,
  kind: 'clock set',
  hitsWriters: false,
  awayMs: JUMPED_MS,
  lasting: false,
  everywhere: true,
  strike: async ({ worker }) => worker.shiftClock(ms),
  mend: async ({ worker }) => worker.shiftClock(-ms),
})

/** As {@link vanished}, and no end of the connection ever gives it up. */
const vanishedForGood = (server: ServerName): Fault => ({
  ...vanished(server),
  name: `${server} vanished for good`,
  kind: 'vanished for good',
  awayMs: 0,
  lasting: true,
  everywhere: false,
  mend: async () => undefined,
})

const serverKilled = (server: ServerName): Fault => ({
  name: `${server} killed`,
  kind: 'server killed',
  hitsWriters: server !== 'queue',
  awayMs: DOWN_MS,
  lasting: false,
  everywhere: true,
  strike: ({ servers }) => servers[server].kill(),
  mend: ({ servers }) => servers[server].restart(),
})

export const faults: readonly Fault[] = [
  workerKilled,
  ...serverNames.map(serverKilled),
  ...serverNames.map(cutOff),
  oneCutOff('source', 'the switch', /^freehold-switch$/),
  oneCutOff('source', 'the holder of the lock', /^freehold-switch-lock$/),
  oneCutOff('source', 'the stream', /^freehold-stream\b/),
  oneCutOff('target', 'the switch', /^freehold-switch$/),
  oneCutOff('target', 'the applier', /^freehold-apply /),
  oneCutOff('target', 'the copy', /^freehold-copy /),
  ...serverNames.map(vanished),
  ...serverNames.map(vanishedForGood),
  ...serverNames.map(unreachable),
  clockJumped('forward', HOUR_MS),
  clockJumped('back', -HOUR_MS),
]

export const faultKinds = [...new Set(faults.map(({ kind }) => kind))]

/** Faults that strike one after the other, from barrier to barrier. */
export interface FaultSet {
  readonly name: string
  readonly faults: readonly Fault[]
}

/** Each fault by itself; `inTurn`, those of each kind together. */
export function faultSets(inTurn = false): FaultSet[] {
  if (!inTurn) return faults.map((fault) => ({ name: fault.name, faults: [fault] }))
  return [...Map.groupBy(faults, ({ kind }) => kind)].map(([name, faults]) => ({ name, faults }))
}

export function faultNamed(name: string): Fault {
  const found = faults.find((fault) => fault.name === name)
  if (found === undefined) throw new Error(`there is no fault "${name}"`)
  return found
}
