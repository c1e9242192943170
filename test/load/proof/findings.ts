import type { Finding, ProofReport, ProofSample } from './proof-report.ts'

const SAMPLES = 10

/** Collects what a proof finds. */
export class Findings {
  rows = 0
  readonly uncertain = { applied: 0, notApplied: 0 }
  readonly #counts: Record<Finding, number> = { lost: 0, duplicated: 0, wrong: 0, foreign: 0 }
  readonly #samples: ProofSample[] = []

  add(sample: ProofSample, count = 1): void {
    if (count === 0) return
    this.#counts[sample.finding] += count
    if (this.#samples.length < SAMPLES) this.#samples.push(sample)
  }

  report(): ProofReport {
    const { lost, duplicated, wrong, foreign } = this.#counts
    return {
      ok: lost + duplicated + wrong + foreign === 0,
      rows: this.rows,
      writesLost: lost,
      writesDuplicated: duplicated,
      rowsWrong: wrong,
      foreignRows: foreign,
      uncertain: { ...this.uncertain },
      samples: this.#samples,
    }
  }
}
