// SPIN run on the model: builds the verifier that it generates, and reads what that says.

import { execFile } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The model itself. */
export const MODEL = fileURLToPath(new URL('protocol.pml', import.meta.url))

const COMPILE_TIMEOUT_MS = 120_000
const SEARCH_TIMEOUT_MS = 600_000
const MAX_DEPTH = 200_000
const MAX_MEGABYTES = 1_000

export interface Search {
  /** The `-D` flags of the model, without the `-D`. */
  readonly flags: readonly string[]
  /** `promises`: assertions and states in which nobody can go on. `cycles`: endless loops without progress. */
  readonly lookFor?: 'promises' | 'cycles'
  /** Spends more on building the verifier so that it runs faster; worth it from a million states on. */
  readonly optimized?: boolean
  /** Whether indexes of the model's arrays are held against their bounds; they are, unless the same model is searched so elsewhere. */
  readonly bounds?: false
  /** Steps that an execution may take; those that take more are not followed further. */
  readonly maxDepth?: number
  readonly maxMegabytes?: number
}

export interface Findings {
  readonly states: number
  /** The promise that is broken, `invalid end state` or `non-progress cycle`. */
  readonly broken: string | undefined
  /** Every reachable state was visited: neither depth nor memory nor time cut the search short. */
  readonly exhaustive: boolean
  /** Source lines of the model that no execution reaches. */
  readonly unreached: readonly string[]
  /** All that the verifier printed. */
  readonly report: string
}

/**
 * Searches the state space of the model until a promise is broken or every state has been visited.
 *
 * @throws Error when SPIN or the compiler is missing or refuses the model, or the search takes more than ten minutes.
 */
export async function search(options: Search): Promise<Findings> {
  const folder = await mkdtemp(join(tmpdir(), 'freehold-model-'))
  try {
    await cp(MODEL, join(folder, 'protocol.pml'))
    const flags = options.flags.map((flag) => `-D${flag}`)
    await run('spin', ['-a', ...flags, 'protocol.pml'], folder, COMPILE_TIMEOUT_MS)
    await run('gcc', [...compilerFlags(options), '-o', 'pan', 'pan.c'], folder, COMPILE_TIMEOUT_MS)
    const report = await run(join(folder, 'pan'), verifierFlags(options), folder, SEARCH_TIMEOUT_MS)
    return readReport(report)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * States are kept as they are and no order of steps is left out: of states so small, and statements that all look at the same
 * variables, neither compression nor partial orders save any memory, and both take time.
 */
function compilerFlags({ lookFor, optimized, bounds, maxMegabytes = MAX_MEGABYTES }: Search): string[] {
  const mode = lookFor === 'cycles' ? ['-DNP'] : ['-DSAFETY', '-DSFH', '-DNOCOMP']
  const checks = bounds === false ? ['-DNOBOUNDCHECK'] : []
  return [
    '-w',
    optimized === true ? '-O1' : '-O0',
    ...mode,
    ...checks,
    '-DNOREDUCE',
    `-DMEMLIM=${maxMegabytes}`,
  ]
}

/** A larger stack and a larger table of states would only be slower to come by: neither is filled. */
function verifierFlags({ lookFor, maxDepth = MAX_DEPTH }: Search): string[] {
  return [`-m${maxDepth}`, '-w22', ...(lookFor === 'cycles' ? ['-l'] : [])]
}

/** @returns stdout and stderr. */
function run(program: string, args: readonly string[], cwd: string, timeout: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, timeout, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024 } as const
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(`${stdout}${stderr}`)
      else reject(new Error(`${program} ${args.join(' ')}: ${error.message}\n${stdout}${stderr}`))
    })
  })
}

function readReport(report: string): Findings {
  const violation = /^pan:\d+: (.+) \(at depth \d+\)$/m.exec(report)?.[1]
  const states = /^\s*(\d+) states, stored/m.exec(report)?.[1]
  const errors = /, errors: (\d+)$/m.exec(report)?.[1]
  if (states === undefined || errors === undefined) throw new Error(`The verifier said nothing:\n${report}`)
  return {
    states: Number(states),
    broken: violation === undefined ? undefined : nameOf(violation),
    exhaustive:
      /^Full statespace search for:$/m.test(report) &&
      errors === '0' &&
      !/Search not completed|max search depth too small|MEMLIM|out of memory/i.test(report),
    unreached: [...report.matchAll(/^\tprotocol\.pml:\d+, state \d+, "(.*)"$/gm)].map(
      ([, text]) => text ?? '',
    ),
    report,
  }
}

/** Every assertion of the model begins with the name of its promise. */
function nameOf(violation: string): string {
  return /^assertion violated \((\w+)\|\|/.exec(violation)?.[1] ?? violation
}
