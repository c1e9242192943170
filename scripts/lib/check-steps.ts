import { join } from 'node:path'
import { root, runProgram } from './run-program.ts'

/** Biome colours its output on a pipe too, and ours is always one. */
const colors = process.stdout.isTTY ? 'force' : 'off'

/** What `npm run check` runs. */
const STEPS: readonly { readonly name: string; readonly command: readonly [string, ...string[]] }[] = [
  { name: 'types', command: ['tsc', '-b'] },
  { name: 'types of the console', command: ['tsc', '-p', 'apps/console'] },
  { name: 'format, lint and import boundaries', command: ['biome', 'ci', `--colors=${colors}`, '.'] },
  { name: 'unused files, exports and dependencies', command: ['knip'] },
]

/** Runs the static checks, one after the other; shows the output of those that fail. Yields whether each passed. */
export async function* runCheckSteps(print: (line: string) => void): AsyncGenerator<boolean> {
  print('\nstatic checks')
  for (const { name, command } of STEPS) {
    const [program, ...args] = command
    const start = performance.now()
    const result = await runProgram(join(root, 'node_modules', '.bin', program), args)
    print(`  ${result.ok ? 'ok' : 'FAILED'}  ${name} (${Math.round(performance.now() - start)} ms)`)
    if (!result.ok) print(result.output.trimEnd())
    yield result.ok
  }
}
