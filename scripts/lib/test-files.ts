import { glob } from 'node:fs/promises'
import { root } from './run-program.ts'

const PATTERNS = [
  '{packages,apps,infra}/*/test/**/*.test.ts',
  'bench/test/**/*.test.ts',
  'scripts/test/**/*.test.ts',
  'test/**/*.test.ts',
]

/** Those that take longest, the longest first: begun last, one of them would leave the other cores with nothing to do. */
const LONGEST = [
  'test/faults/kill-matrix.test.ts',
  'test/model/model.test.ts',
  'test/faults/bad-luck.test.ts',
  'bench/test/bench.test.ts',
  'test/faults/takeover.test.ts',
  'test/e2e/bad-input.test.ts',
  'test/model/guards.test.ts',
  'test/demo/demo.test.ts',
  'test/e2e/console-operations.test.ts',
  'test/moves/versions.test.ts',
  'test/moves/pairs.test.ts',
  'packages/engine/test/called-off-switches.test.ts',
]

/** The test files whose path contains one of the filters; all of them when there is no filter. In the order to begin them. */
export async function findTestFiles(filters: readonly string[]): Promise<string[]> {
  const files: string[] = []
  for await (const file of glob(PATTERNS, { cwd: root })) {
    if (filters.length === 0 || filters.some((part) => file.includes(part))) files.push(file)
  }
  return files.sort((a, b) => turnOf(a) - turnOf(b) || (a < b ? -1 : 1))
}

function turnOf(file: string): number {
  const turn = LONGEST.indexOf(file)
  return turn === -1 ? LONGEST.length : turn
}
