// `npm test`: the static checks, then the tests on real servers and a real browser, but for those that go through every combination
// of something: these are run by `npm run test:exhaustive`. `npm test -- part/of/a/path` runs the matching test files only, of either,
// without the checks and without installing anything. The last line is `N passed, N failed`, which counts assertions and checks; the
// exit status is 0 only if nothing failed.
import { ensureConsoleBuilt } from '@freehold/local/stack'
import { runCheckSteps } from './lib/check-steps.ts'
import { openRunFolder } from './lib/leftovers.ts'
import { ensurePrerequisites } from './lib/prerequisites.ts'
import { runTap } from './lib/run-tap.ts'
import type { Tally } from './lib/tap-report.ts'
import { type Chosen, findTestFiles } from './lib/test-files.ts'

const args = process.argv.slice(2)
const total: Tally = { passed: 0, failed: 0, skipped: 0 }

// Ctrl-C reaches the running step by itself; what is left for us is to clean up, and to start nothing more.
let interrupted = false
process.on('SIGINT', () => {
  interrupted = true
})

const chosen = choose()
if (chosen === 'usual' || chosen === 'exhaustive') await install()
if (chosen === 'usual') await check()
await test(await findTestFiles(chosen))

if (interrupted) fail('interrupted')
if (total.skipped > 0) print(`\n${total.skipped} skipped`)
print(`\n${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1

function choose(): Chosen {
  if (args.length === 0) return 'usual'
  return args[0] === '--exhaustive' ? 'exhaustive' : { named: args }
}

async function install(): Promise<void> {
  for (const problem of await ensurePrerequisites(print)) fail(problem)
}

async function check(): Promise<void> {
  for await (const ok of runCheckSteps(print)) {
    if (ok) total.passed++
    else total.failed++
    if (interrupted) return
  }
}

async function test(files: readonly string[]): Promise<void> {
  if (files.length === 0) fail(`no test file matches ${args.join(' or ')}`)
  if (files.length === 0 || interrupted) return
  await buildConsole()
  if (interrupted) return
  const folder = await openRunFolder()
  const tally = await runTap(files, folder.path, print)
  total.passed += tally.passed
  total.failed += tally.failed
  total.skipped += tally.skipped
  for (const leftover of await folder.close()) fail(`the tests left behind ${leftover}`)
}

/** Several files need it, and each would build it at the same time. */
async function buildConsole(): Promise<void> {
  try {
    await ensureConsoleBuilt({ onBuild: () => print('\nBuilding the console ...') })
  } catch (error) {
    if (!interrupted) fail(error instanceof Error ? error.message : String(error))
  }
}

function fail(what: string): void {
  total.failed++
  print(`\nFAILED  ${what}`)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
