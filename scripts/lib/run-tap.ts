import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { root } from './run-program.ts'
import { type Tally, TapReport } from './tap-report.ts'

/** Runs test files with tap (options: `.taprc`), with `temporary` as their folder for temporary files. */
export async function runTap(
  files: readonly string[],
  temporary: string,
  print: (line: string) => void,
): Promise<Tally> {
  const report = new TapReport(print)
  const tap = spawn(join(root, 'node_modules', '.bin', 'tap'), ['--reporter=tap', ...files], {
    cwd: root,
    env: { ...process.env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | null>((resolve) => {
    tap.once('error', () => resolve(null))
    tap.once('close', resolve)
  })
  for await (const line of createInterface({ input: tap.stdout })) report.line(line)
  const code = await ended
  if (code !== 0 && report.tally.failed === 0) {
    report.tally.failed++
    print(`  FAILED  tap ended with ${code === null ? 'a signal' : `exit status ${code}`}`)
  }
  return report.tally
}
