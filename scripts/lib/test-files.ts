import { glob } from 'node:fs/promises'
import { root } from './run-program.ts'

const PATTERNS = [
  '{packages,apps,infra}/*/test/**/*.test.ts',
  'bench/test/**/*.test.ts',
  'scripts/test/**/*.test.ts',
  'test/**/*.test.ts',
]

/** Those that go through every combination of something. They take minutes each, the longest first. */
const EXHAUSTIVE = [
  'test/faults/kill-matrix.test.ts',
  'test/moves/pairs.test.ts',
  'test/faults/chaos.test.ts',
  'test/moves/versions.test.ts',
  'bench/test/bench.test.ts',
]

/** Of the others, those that take longest: begun last, one of them would leave the other cores with nothing to do. */
const LONGEST = [
  'test/moves/rollback.test.ts',
  'test/faults/bad-luck.test.ts',
  'test/faults/takeover.test.ts',
  'test/e2e/bad-input.test.ts',
  'test/demo/demo.test.ts',
  'test/e2e/console-operations.test.ts',
  'test/model/model.test.ts',
  'test/model/guards.test.ts',
  'packages/engine/test/called-off-switches.test.ts',
]
const FIRST = [...EXHAUSTIVE, ...LONGEST]

/** What is to be run: the exhaustive files, all others, or those whose path contains one of some texts. */
export type Chosen = 'exhaustive' | 'usual' | { readonly named: readonly string[] }

/** The chosen test files, in the order to begin them. */
export async function findTestFiles(chosen: Chosen): Promise<string[]> {
  const files: string[] = []
  for await (const file of glob(PATTERNS, { cwd: root })) files.push(file)
  const missing = FIRST.filter((file) => !files.includes(file))
  if (missing.length > 0) throw new Error(`${missing.join(', ')}: listed and not there`)
  return files
    .filter((file) => isChosen(file, chosen))
    .sort((a, b) => turnOf(a) - turnOf(b) || (a < b ? -1 : 1))
}

function isChosen(file: string, chosen: Chosen): boolean {
  if (typeof chosen === 'object') return chosen.named.some((part) => file.includes(part))
  return EXHAUSTIVE.includes(file) === (chosen === 'exhaustive')
}

function turnOf(file: string): number {
  const turn = FIRST.indexOf(file)
  return turn === -1 ? FIRST.length : turn
}
