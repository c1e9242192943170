import { spawn } from 'node:child_process'
import { readdir, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { root } from './run-program.ts'
import { type Tally, TapReport } from './tap-report.ts'

/** Runs test files in this order, some at a time, with `temporary` as their folder for temporary files. */
export async function runTap(
  files: readonly string[],
  temporary: string,
  print: (line: string) => void,
): Promise<Tally> {
  const report = new TapReport(print)
  const clusterTemplate = join(temporary, 'cluster-template')
  const tap = spawn(
    process.execPath,
    [fileURLToPath(new URL('./spawn-tests.ts', import.meta.url)), ...files],
    {
      cwd: root,
      env: {
        ...process.env,
        TMPDIR: temporary,
        // What every test file would do anew: compile the same modules, and make the data of an empty server.
        NODE_COMPILE_CACHE: join(temporary, 'compiled'),
        FREEHOLD_CLUSTER_TEMPLATE: clusterTemplate,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const ended = new Promise<number | null>((resolve) => {
    tap.once('error', () => resolve(null))
    tap.once('close', resolve)
  })
  for await (const line of createInterface({ input: tap.stdout })) report.line(line)
  const code = await ended
  await removeTemplate(clusterTemplate)
  if (code !== 0 && report.tally.failed === 0) {
    report.tally.failed++
    print(`  FAILED  tap ended with ${code === null ? 'a signal' : `exit status ${code}`}`)
  }
  return report.tally
}

/** Its data may lie outside of the run's folder, when the servers' user cannot enter that. */
async function removeTemplate(template: string): Promise<void> {
  const versions = await readdir(template).catch(() => [])
  for (const version of versions) {
    const data = await realpath(join(template, version, 'data')).catch(() => undefined)
    if (data !== undefined) await rm(data, { recursive: true })
  }
}
