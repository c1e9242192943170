import { runProgram } from '../src/program.ts'
import type { Terminal } from '../src/terminal.ts'

/** How a run of the command ended. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command in this process, for what is tried in many ways; only `main.ts` is left out. */
export async function runHere(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  changes: Partial<Terminal> = {},
): Promise<Ended> {
  let [stdout, stderr] = ['', '']
  const terminal: Terminal = {
    print(line) {
      stdout += `${line}\n`
    },
    remark(line) {
      stderr += `${line}\n`
    },
    isLive: false,
    columns: 80,
    draw: () => undefined,
    style: (_format, text) => text,
    confirm: async () => true,
    ...changes,
  }
  return { code: await runProgram(args, terminal, env), stdout, stderr }
}
