/** What was counted: assertions that passed, that failed, and that were skipped or marked as to do. */
export interface Tally {
  passed: number
  failed: number
  skipped: number
}

interface OpenSubtest {
  readonly name: string
  readonly tally: Tally
}

const SUBTEST = /^( *)# Subtest: (.*)$/
const POINT = /^( *)(not )?ok \d+(?: - (.*?))?(?: # (SKIP|TODO|time=)(.*))?$/
const DIAGNOSTIC_START = /^( *)---$/
/** Plans, comments, and blank lines: true of every stream and of no interest to its reader. */
const NOISE = /^ *(?:\d+\.\.\d+.*|# .*|TAP version \d+)?$/

/**
 * Reads the TAP of a run line by line: counts its assertions and tells its story in few lines, one a test with
 * all there is about a failure.
 *
 * A subtest counts through its assertions; one that failed although none of them did (it crashed, or its plan
 * does not fit) counts as a failure of its own, and so does a file without any test.
 */
export class TapReport {
  readonly tally: Tally = { passed: 0, failed: 0, skipped: 0 }
  readonly #print: (line: string) => void
  /** The subtests that have not ended yet, by their depth. */
  readonly #open: OpenSubtest[] = []
  /** Within a diagnostic: the line that ends it, and whether it belongs to a failure that is being shown. */
  #diagnostic: { readonly end: string; readonly shown: boolean } | undefined
  #lastPointFailed = false

  constructor(print: (line: string) => void) {
    this.#print = print
  }

  line(line: string): void {
    if (this.#inDiagnostic(line)) return
    const subtest = SUBTEST.exec(line)
    const point = POINT.exec(line)
    if (subtest !== null) this.#begin(depthOf(subtest[1]), subtest[2] ?? '')
    else if (point !== null) this.#point(point)
    else if (!NOISE.test(line)) this.#print(line)
  }

  #inDiagnostic(line: string): boolean {
    if (this.#diagnostic === undefined) {
      const start = DIAGNOSTIC_START.exec(line)
      if (start === null) return false
      this.#diagnostic = { end: `${start[1] ?? ''}...`, shown: this.#lastPointFailed }
      return true
    }
    if (line === this.#diagnostic.end) this.#diagnostic = undefined
    else if (this.#diagnostic.shown) this.#print(`    ${line}`)
    return true
  }

  #begin(depth: number, name: string): void {
    this.#open.length = depth
    this.#open[depth] = { name, tally: { ...this.tally } }
    if (depth === 0) this.#print(`\n${name}`)
  }

  #point(point: RegExpExecArray): void {
    const [, indent, not, name = '', directive, reason] = point
    const depth = depthOf(indent)
    const ok = not === undefined
    const subtest = this.#open[depth]
    this.#lastPointFailed = false
    if (subtest === undefined) {
      this.#assertion(ok, directive, name)
      return
    }
    this.#open.length = depth
    const failedInside = this.tally.failed > subtest.tally.failed
    const isEmpty = reason === ' no tests found'
    if (isEmpty || (!ok && !failedInside && directive !== 'TODO')) {
      this.tally.failed++
      this.#print(`  FAILED  ${this.#path(name)}${isEmpty ? ': there is no test in it' : ''}`)
    } else if (depth === 1 && ok) {
      this.#print(`  ok  ${name}${directive === 'time=' ? ` (${reason})` : ''}`)
    }
  }

  #assertion(ok: boolean, directive: string | undefined, name: string): void {
    if (directive === 'SKIP' || directive === 'TODO') {
      this.tally.skipped++
      this.#print(`  ${directive.toLowerCase()}  ${this.#path(name)}`)
    } else if (ok) {
      this.tally.passed++
    } else {
      this.tally.failed++
      this.#lastPointFailed = true
      this.#print(`  FAILED  ${this.#path(name)}`)
    }
  }

  #path(name: string): string {
    return [...this.#open.slice(1).map((subtest) => subtest.name), name].join(' > ')
  }
}

/** A subtest is indented by four spaces more than what it is in. */
function depthOf(indent: string | undefined): number {
  return (indent?.length ?? 0) / 4
}
