// Runs the test files that it is given, in this order, some at a time, and writes one stream of TAP: what tap's own command does,
// which however sorts them by their names, so that a long one that begins last has one core work while the other waits.
import t from 'tap'
import { root } from './run-program.ts'

/** One more than the cores that there are at least: most tests wait for something now and then. */
const AT_A_TIME = 3
/** Of a file that says nothing about it, s; a slow machine takes its time. */
const TIMEOUT_S = process.env.TAP_TIMEOUT ?? '300'

t.jobs = AT_A_TIME
t.setTimeout(0)
for (const file of process.argv.slice(2)) {
  void t.spawn(process.execPath, ['--conditions=@freehold/source', file], {
    name: file,
    cwd: root,
    buffered: true,
    env: { ...process.env, TAP_TIMEOUT: TIMEOUT_S },
  })
}
