import { glob } from 'node:fs/promises'
import { root } from './run-program.ts'

const PATTERNS = [
  '{packages,apps,infra}/*/test/**/*.test.ts',
  'bench/test/**/*.test.ts',
  'scripts/test/**/*.test.ts',
  'test/**/*.test.ts',
]

/** The test files whose path contains one of the filters; all of them when there is no filter. */
export async function findTestFiles(filters: readonly string[]): Promise<string[]> {
  const files: string[] = []
  for await (const file of glob(PATTERNS, { cwd: root })) {
    if (filters.length === 0 || filters.some((part) => file.includes(part))) files.push(file)
  }
  return files.sort()
}
